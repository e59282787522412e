-------------------------------- MODULE Trace --------------------------------
(***************************************************************************)
(* Whether what the real code did is a behaviour of the specification. A   *)
(* run is a sequence of events, as raft-sim writes them: what was handed   *)
(* to a node, what came out, and at the end of the turn what it was like.  *)
(* Each event must be an action of the specification that does just this.  *)
(* What the core does on its own within a turn has no event: those actions *)
(* are searched for. A run is followed if its end can be reached.          *)
(***************************************************************************)
EXTENDS Raft

CONSTANTS
    Runs,      \* runs, each a sequence of events
    Variants   \* what is followed: a run as it is, or changed at one place

VARIABLES
    which,     \* which variant
    variant,   \* .. and what it is: TLC would work all of them out anew for each event
    at,        \* its next event
    counts,    \* counts[i][n]: how many writes of the specification the node's n-th write of this boot is
    receipts,  \* receipts[i]: the writes whose receipts are in
    fresh,     \* writes of this turn that no event told yet
    owed,      \* messages that left in this turn and that no event told yet
    ticked     \* something happened in this turn that the specification only knows by what it brings about

book == <<counts, receipts, fresh, owed, ticked>>
place == <<which, variant, at>>

Run == Runs[variant.run]
Length == Len(Run) - IF variant.op = "drop" THEN 1 ELSE 0
Event(k) ==
    CASE variant.op = "drop" /\ k >= variant.at -> Run[k + 1]
      [] variant.op = "swap" /\ k = variant.at -> Run[k + 1]
      [] variant.op = "swap" /\ k = variant.at + 1 -> Run[k - 1]
      [] variant.op = "alter" /\ k = variant.at -> variant.event
      [] OTHER -> Run[k]


\* The actions below are about the next event e, at node i.

Blank == [boot |-> 0, term |-> 0, vote |-> None, log |-> <<>>]

TraceInit ==
    /\ net = {} /\ chosen = <<>> /\ led = {} /\ alarm = "none"
    /\ files = [j \in Server |-> {}]
    /\ disk = [j \in Server |-> Blank]
    /\ pend = [j \in Server |-> <<>>]
    /\ node = [j \in Server |-> Down]
    /\ which \in DOMAIN Variants /\ variant = Variants[which] /\ at = 1
    /\ counts = [j \in Server |-> <<>>] /\ receipts = [j \in Server |-> {}]
    /\ fresh = 0 /\ owed = {} /\ ticked = FALSE

-----------------------------------------------------------------------------

Next1 == at' = at + 1 /\ UNCHANGED <<which, variant>>
Stay == UNCHANGED place
\* What the specification let leave or wrote in this step must be told by events before the turn ends.
Owes == owed' = owed \cup (net' \ net)
Writes(i, gone) == fresh' = fresh + Len(pend'[i]) - (Len(pend[i]) - gone)
Steps(i) == Owes /\ Writes(i, 0) /\ UNCHANGED <<counts, receipts, ticked>>
Nothing == UNCHANGED <<vars, book>>

\* A message without what only the specification knows of it.
Told(m) == IF m.kind = "Chunk" THEN [f \in DOMAIN m \ {"snap"} |-> m[f]] ELSE m
Sent(m) == IF m.kind = "Chunk" THEN {n \in net : n.kind = "Chunk" /\ Told(n) = m} ELSE {m} \cap net

\* What the node is to be like at the end of this turn.
Ends == {k \in at..Min(at + 60, Length) : Event(k).k \in {"end", "halt"}}
\* The configurations that this turn will be told to have written.
Configurations ==
    LET turn == at..(CHOOSE k \in Ends : \A o \in Ends : k <= o)
        all == {Event(k) : k \in {k \in turn : Event(k).k = "write"}}
        confs(e) == {e.entries[n].conf : n \in {n \in DOMAIN e.entries : e.entries[n].kind = "conf"}}
    IN  IF Ends = {} THEN {} ELSE UNION {confs(e) : e \in all}
Goal(i) == LET k == CHOOSE k \in Ends : \A o \in Ends : k <= o
        IN  IF Ends # {} /\ Event(k).k = "end" /\ Event(k).i = i THEN {Event(k).s} ELSE {}

-----------------------------------------------------------------------------
(* Inputs.                                                                   *)

Behind(log, base) == SubSeq(log, base + 1, Len(log))

Starts(e, i) ==
    /\ e.k = "start" /\ Next1 /\ Start(i, e.base)
    /\ LET s == node'[i]
       IN  /\ s.boot = e.boot /\ s.term = e.term /\ s.vote = e.vote /\ s.snap = e.snap
           /\ Behind(s.log, e.base) = e.log
    /\ counts' = [counts EXCEPT ![i] = <<>>] /\ receipts' = [receipts EXCEPT ![i] = {}]
    /\ fresh' = 1 /\ owed' = {} /\ ticked' = FALSE

Ceases(e, i) ==
    /\ e.k \in {"die", "halt"} /\ Next1
    /\ IF Up(i) THEN \E k \in 0..Len(pend[i]) : Crash(i, k) ELSE UNCHANGED vars
    /\ fresh' = 0 /\ owed' = {} /\ ticked' = FALSE /\ UNCHANGED <<counts, receipts>>

Hears1(e, i) ==
    /\ e.k = "recv" /\ Next1 /\ e.m.dst = i
    /\ \E m \in Sent(e.m) :
        \/ Receive(m) /\ Steps(i)
        \/ e.ignored /\ Nothing

Ticks(e, i) == e.k = "tick" /\ Next1 /\ UNCHANGED vars /\ ticked' = TRUE /\ UNCHANGED <<counts, receipts, fresh, owed>>

\* Receipts may come in any order; what is durable is the unbroken run of them.
Receipt(e, i) ==
    LET unbroken(S) == CHOOSE n \in 0..Len(counts[i]) : 1..n \subseteq S /\ n + 1 \notin S
        before == unbroken(receipts[i])
        after == unbroken(receipts[i] \cup {e.n})
        sum[n \in 0..Len(counts[i])] == IF n <= before THEN 0 ELSE sum[n - 1] + counts[i][n]
    IN  /\ e.k = "persisted" /\ Next1
        /\ e.n \in 1..Len(counts[i]) \ receipts[i]
        /\ receipts' = [receipts EXCEPT ![i] = @ \cup {e.n}]
        /\ IF after = before THEN UNCHANGED <<vars, fresh, owed>>
           ELSE Persist(i, sum[after]) /\ Owes /\ Writes(i, sum[after])
        /\ UNCHANGED <<counts, ticked>>

Proposes(e, i) ==
    /\ e.k = "propose" /\ Next1
    /\ \/ Propose(i, e.val) /\ Steps(i)
       \/ Nothing

Reads(e, i) ==
    /\ e.k = "read" /\ Next1
    /\ IF Leads(i) /\ i \in Voters(Conf(node[i].log)) THEN Read(i, e.ticket) /\ Steps(i)
       ELSE IF Up(i) /\ node[i].role = "Follower" /\ node[i].leader # None THEN Ask(i, e.ticket) /\ Steps(i)
       ELSE Nothing

Captures(e, i) == e.k = "captured" /\ Next1 /\ IdAt(node[i].log, e.last.index) = e.last
                /\ Captured(i, e.last.index) /\ UNCHANGED book

Stores(e, i) ==
    /\ e.k = "stored" /\ Next1
    /\ LET mine == {m \in node[i].receiving : m.last = e.last}
       IN  IF mine = {} THEN Nothing ELSE \E m \in mine : Stored(i, m, e.all) /\ Steps(i)

-----------------------------------------------------------------------------
(* Outputs, and the state after the turn.                                    *)

\* The first write of a founder only founds: to the specification it is founded from the beginning.
Written(e, i) ==
    LET s == node[i]
        founding == e.founds /\ fresh = 0
        before == IF Len(pend[i]) = fresh THEN disk[i] ELSE pend[i][Len(pend[i]) - fresh].image
        new == Len(s.log) - Max(s.base, Common(before.log, s.log))
    IN  /\ e.k = "write" /\ Next1 /\ Up(i) /\ (fresh > 0 \/ founding)
        /\ e.n = Len(counts[i]) + 1
        /\ IF e.hard = <<>> THEN <<before.boot, before.term, before.vote>> = <<s.boot, s.term, s.vote>>
           ELSE e.hard = <<s.boot, s.term, s.vote>>
        /\ new <= Len(e.entries) /\ Len(e.entries) <= Len(s.log)
        /\ e.entries = Behind(s.log, Len(s.log) - Len(e.entries))
        /\ counts' = [counts EXCEPT ![i] = Append(@, Max(fresh, 1))]
        /\ IF founding
           THEN /\ pend' = [pend EXCEPT ![i] = Append(@, [image |-> Image(s), held |-> {}])]
                /\ UNCHANGED <<net, disk, files, node, chosen, led, alarm>>
           ELSE UNCHANGED vars
        /\ fresh' = 0 /\ UNCHANGED <<receipts, owed, ticked>>

\* Appends, a commit told between rounds, and the word to campaign are the leader's own choice; all else is owed, or the
\* same again.
Sends(e, i) ==
    /\ e.k = "send" /\ Next1 /\ e.m.src = i
    /\ LET m == e.m
           again == m \in net /\ UNCHANGED vars /\ owed' = owed \ {m}
           chosen1 == (m \in net' /\ owed' = owed)
       IN  CASE m.kind = "Append" -> /\ SendAppend(i, m.dst, m.prev.index, Len(m.entries)) /\ chosen1
             [] m.kind = "Heartbeat" /\ m \notin owed -> TellCommit(i, m.dst) /\ chosen1
             [] m.kind = "TimeoutNow" -> HandOver(i, m.dst) /\ chosen1
             [] OTHER -> again
    /\ UNCHANGED <<counts, receipts, fresh, ticked>>

Fetches(e, i) ==
    /\ e.k = "fetch" /\ Next1
    /\ \E snap \in files[i] : LastId(snap) = e.last /\ SendChunk(i, e.to, snap, e.whole)
    /\ UNCHANGED book

Applies(e, i) ==
    /\ e.k = "apply" /\ Next1 /\ Apply(i) /\ node'[i].applied = e.index /\ node[i].log[e.index] = e.entry
    /\ UNCHANGED book

Restores(e, i) ==
    /\ e.k = "restore" /\ Next1 /\ Apply(i) /\ node'[i].applied = e.index /\ e.index = node[i].base
    /\ UNCHANGED book

Releases(e, i) == e.k = "release" /\ Next1 /\ Compact(i, e.through) /\ UNCHANGED book

Commits(e, i) ==
    /\ e.k = "committed" /\ Next1 /\ Nothing
    /\ e.id.index <= node[i].applied /\ IdAt(node[i].log, e.id.index) = e.id

Answers(e, i) ==
    /\ e.k = "answer" /\ Next1
    /\ \/ \E r \in node[i].reads : r.id = Client(e.ticket) /\ r.index = e.index /\ Answer(i, r)
       \/ \E a \in node[i].asks : a.number = e.ticket /\ a.index = e.index /\ AnswerAsk(i, a)
    /\ Steps(i)

Looks(i, s, seen) ==
    /\ s.role = seen.role /\ s.term = seen.term /\ s.vote = seen.vote /\ s.leader = seen.leader
    /\ s.commit = seen.commit /\ s.applied = seen.applied /\ LastId(s.log) = seen.last
    /\ s.snap = seen.snap /\ IdAt(s.log, s.base) = seen.base
    /\ seen.conf \in {{}, Conf(s.log)}
    \* A snapshot on its way to the log's place makes the code forget more than it must.
    /\ LET durable == Durable(s, disk[i], pend[i])
                  installs == \E x \in DOMAIN pend[i] : Len(pend[i][x].image.log) = s.base
       IN  seen.durable = durable \/ (seen.durable < durable /\ installs)

TurnEnds(e, i) ==
    /\ e.k = "end" /\ Next1 /\ Up(i) /\ Looks(i, node[i], e.s)
    /\ owed = {} /\ fresh = 0
    /\ ticked' = FALSE /\ UNCHANGED <<vars, counts, receipts, fresh, owed>>

-----------------------------------------------------------------------------
(* What a turn does on its own, guided by what it is known to have come to.  *)

InTurn(e, i) ==
    Up(i)
        /\ e.k \in {"write", "send", "apply", "committed", "answer", "release", "restore", "fetch", "halt", "end"}

NextStart(j) ==
    LET all == {k \in at..Length : Event(k).k = "start" /\ Event(k).i = j}
    IN  IF all = {} THEN {} ELSE {CHOOSE k \in all : \A o \in all : k <= o}

Hidden(e, i) ==
    \/ /\ InTurn(e, i) /\ Stay
       /\ \/ /\ ticked /\ \E goal \in Goal(i) : goal.role # "Follower" /\ goal.term >= node[i].term
             /\ Timeout(i)
          \/ /\ ticked /\ \E goal \in Goal(i) : goal.leader = None
             /\ node[i].leader # None /\ Forget(i)
          \/ /\ Leads(i) /\ \A goal \in Goal(i) : goal.role # "Leader"
             /\ StepDown(i)
          \/ Leads(i) /\ \E C \in Configurations : Change(i, C)
          \/ e.k = "send" /\ Leads(i) /\ e.m.kind = "Heartbeat" /\ e.m.round = node[i].round + 1 /\ Beat(i)
          \/ e.k = "send" /\ e.m.kind = "ReadIndex" /\ e.m \notin net /\ AskLeader(i)
          \/ e.k = "send" /\ e.m.kind = "ReadIndexReply" /\ e.m \notin net /\ \E r \in node[i].reads : AnswerFollower(i, r)
       /\ Steps(i)
    \* A file may be there before the node hears of it, or without that it ever does.
    \/ /\ Stay /\ UNCHANGED book
       /\ \/ e.k = "captured" /\ Up(i) /\ e.last.index <= Len(node[i].log) /\ Keep(i, Prefix(node[i].log, e.last.index))
          \/ e.k = "stored" /\ Up(i) /\ e.all /\ \E m \in node[i].receiving : m.last = e.last /\ Keep(i, m.snap)
          \/ e.k = "die" /\ Up(i) /\ \E k \in NextStart(i) :
                /\ Event(k).snap > node[i].snap
                /\ \/ Event(k).snap <= Len(node[i].log) /\ Keep(i, Prefix(node[i].log, Event(k).snap))
                   \/ \E m \in node[i].receiving : Len(m.snap) = Event(k).snap /\ Keep(i, m.snap)

Follows(e, i) ==
    \/ Starts(e, i) \/ Ceases(e, i) \/ Hears1(e, i) \/ Ticks(e, i) \/ Receipt(e, i) \/ Proposes(e, i) \/ Reads(e, i)
    \/ Captures(e, i) \/ Stores(e, i) \/ Written(e, i) \/ Sends(e, i) \/ Fetches(e, i) \/ Applies(e, i)
    \/ Restores(e, i) \/ Releases(e, i) \/ Commits(e, i) \/ Answers(e, i) \/ TurnEnds(e, i) \/ Hidden(e, i)

TraceNext == at <= Length /\ \E e \in {Event(at)} : \E i \in {e.i} : Follows(e, i)

\* Says how far each variant could be followed.
Tells ==
    /\ IF at > TLCGet(which) THEN TLCSet(which, at) /\ PrintT(<<"followed", which, at - 1, Length>>) ELSE TRUE
ASSUME \A v \in DOMAIN Variants : TLCSet(v, 0)

View == <<which, at, disk, pend, files, node, counts, receipts, fresh, owed, ticked>>
=============================================================================

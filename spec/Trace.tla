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
    at,        \* its next event
    counts,    \* counts[i][n]: how many writes of the specification the node's n-th write of this boot is
    receipts,  \* receipts[i]: the writes whose receipts are in
    fresh,     \* writes of this turn that no event told yet
    owed,      \* messages that left in this turn and that no event told yet
    ticked     \* something happened in this turn that the specification only knows by what it brings about

book == <<counts, receipts, fresh, owed, ticked>>
place == <<which, at>>

Variant == Variants[which]
Run == Runs[Variant.run]
Length == Len(Run) - IF Variant.op = "drop" THEN 1 ELSE 0
Event(k) ==
    CASE Variant.op = "drop" /\ k >= Variant.at -> Run[k + 1]
      [] Variant.op = "swap" /\ k = Variant.at -> Run[k + 1]
      [] Variant.op = "swap" /\ k = Variant.at + 1 -> Run[k - 1]
      [] Variant.op = "alter" /\ k = Variant.at -> Variant.event
      [] OTHER -> Run[k]

E == Event(at)
i == E.i
Is(kind) == at <= Length /\ E.k = kind

Blank == [boot |-> 0, term |-> 0, vote |-> None, log |-> <<>>]

TraceInit ==
    /\ net = {} /\ chosen = <<>> /\ led = {} /\ alarm = "none"
    /\ files = [j \in Server |-> {}]
    /\ disk = [j \in Server |-> Blank]
    /\ pend = [j \in Server |-> <<>>]
    /\ node = [j \in Server |-> Down]
    /\ which \in DOMAIN Variants /\ at = 1
    /\ counts = [j \in Server |-> <<>>] /\ receipts = [j \in Server |-> {}]
    /\ fresh = 0 /\ owed = {} /\ ticked = FALSE

-----------------------------------------------------------------------------

Next1 == at' = at + 1 /\ UNCHANGED which
Stay == UNCHANGED place
\* What the specification let leave or wrote in this step must be told by events before the turn ends.
Owes == owed' = owed \cup (net' \ net)
Writes(gone) == fresh' = fresh + Len(pend'[i]) - (Len(pend[i]) - gone)
Steps == Owes /\ Writes(0) /\ UNCHANGED <<counts, receipts, ticked>>
Nothing == UNCHANGED <<vars, book>>

\* A message without what only the specification knows of it.
Told(m) == IF m.kind = "Chunk" THEN [f \in DOMAIN m \ {"snap"} |-> m[f]] ELSE m
Sent(m) == IF m.kind = "Chunk" THEN {n \in net : n.kind = "Chunk" /\ Told(n) = m} ELSE {m} \cap net

\* What the node is to be like at the end of this turn.
Ends == {k \in at..Min(at + 60, Length) : Event(k).k \in {"end", "halt"}}
Goal == LET k == CHOOSE k \in Ends : \A o \in Ends : k <= o
        IN  IF Ends # {} /\ Event(k).k = "end" /\ Event(k).i = i THEN {Event(k).s} ELSE {}

-----------------------------------------------------------------------------
(* Inputs.                                                                   *)

Behind(log, base) == SubSeq(log, base + 1, Len(log))

Starts ==
    /\ Is("start") /\ Next1 /\ Start(i, E.base)
    /\ LET s == node'[i]
       IN  /\ s.boot = E.boot /\ s.term = E.term /\ s.vote = E.vote /\ s.snap = E.snap
           /\ Behind(s.log, E.base) = E.log
    /\ counts' = [counts EXCEPT ![i] = <<>>] /\ receipts' = [receipts EXCEPT ![i] = {}]
    /\ fresh' = 1 /\ owed' = {} /\ ticked' = FALSE

Ceases(kind) ==
    /\ Is(kind) /\ Next1
    /\ IF Up(i) THEN \E k \in 0..Len(pend[i]) : Crash(i, k) ELSE UNCHANGED vars
    /\ fresh' = 0 /\ owed' = {} /\ ticked' = FALSE /\ UNCHANGED <<counts, receipts>>

Hears1 ==
    /\ Is("recv") /\ Next1 /\ E.m.dst = i
    /\ \E m \in Sent(E.m) :
        \/ Receive(m) /\ Steps
        \/ E.ignored /\ Nothing

Ticks == Is("tick") /\ Next1 /\ UNCHANGED vars /\ ticked' = TRUE /\ UNCHANGED <<counts, receipts, fresh, owed>>

\* Receipts may come in any order; what is durable is the unbroken run of them.
Receipt ==
    LET unbroken(S) == CHOOSE n \in 0..Len(counts[i]) : 1..n \subseteq S /\ n + 1 \notin S
        before == unbroken(receipts[i])
        after == unbroken(receipts[i] \cup {E.n})
        sum[n \in 0..Len(counts[i])] == IF n <= before THEN 0 ELSE sum[n - 1] + counts[i][n]
    IN  /\ Is("persisted") /\ Next1
        /\ E.n \in 1..Len(counts[i]) \ receipts[i]
        /\ receipts' = [receipts EXCEPT ![i] = @ \cup {E.n}]
        /\ IF after = before THEN UNCHANGED <<vars, fresh, owed>>
           ELSE Persist(i, sum[after]) /\ Owes /\ Writes(sum[after])
        /\ UNCHANGED <<counts, ticked>>

Proposes ==
    /\ Is("propose") /\ Next1
    /\ \/ Propose(i, E.val) /\ Steps
       \/ Nothing

Reads ==
    /\ Is("read") /\ Next1
    /\ IF Leads(i) /\ i \in Voters(Conf(node[i].log)) THEN Read(i, E.ticket) /\ Steps
       ELSE IF Up(i) /\ node[i].role = "Follower" /\ node[i].leader # None THEN Ask(i, E.ticket) /\ Steps
       ELSE Nothing

Captures == Is("captured") /\ Next1 /\ IdAt(node[i].log, E.last.index) = E.last
                /\ Captured(i, E.last.index) /\ UNCHANGED book

Stores ==
    /\ Is("stored") /\ Next1
    /\ LET mine == {m \in node[i].receiving : m.last = E.last}
       IN  IF mine = {} THEN Nothing ELSE \E m \in mine : Stored(i, m, E.all) /\ Steps

-----------------------------------------------------------------------------
(* Outputs, and the state after the turn.                                    *)

\* The first write of a founder only founds: to the specification it is founded from the beginning.
Written ==
    LET s == node[i]
        founding == E.founds /\ fresh = 0
        before == IF Len(pend[i]) = fresh THEN disk[i] ELSE pend[i][Len(pend[i]) - fresh].image
        new == Len(s.log) - Max(s.base, Common(before.log, s.log))
    IN  /\ Is("write") /\ Next1 /\ Up(i) /\ (fresh > 0 \/ founding)
        /\ E.n = Len(counts[i]) + 1
        /\ IF E.hard = <<>> THEN <<before.boot, before.term, before.vote>> = <<s.boot, s.term, s.vote>>
           ELSE E.hard = <<s.boot, s.term, s.vote>>
        /\ new <= Len(E.entries) /\ Len(E.entries) <= Len(s.log)
        /\ E.entries = Behind(s.log, Len(s.log) - Len(E.entries))
        /\ counts' = [counts EXCEPT ![i] = Append(@, Max(fresh, 1))]
        /\ IF founding
           THEN /\ pend' = [pend EXCEPT ![i] = Append(@, [image |-> Image(s), held |-> {}])]
                /\ UNCHANGED <<net, disk, files, node, chosen, led, alarm>>
           ELSE UNCHANGED vars
        /\ fresh' = 0 /\ UNCHANGED <<receipts, owed, ticked>>

\* Appends, a commit told between rounds, and the word to campaign are the leader's own choice; all else is owed, or the
\* same again.
Sends ==
    /\ Is("send") /\ Next1 /\ E.m.src = i
    /\ LET m == E.m
           again == m \in net /\ UNCHANGED vars /\ owed' = owed \ {m}
           chosen1 == (m \in net' /\ owed' = owed)
       IN  CASE m.kind = "Append" -> /\ SendAppend(i, m.dst, m.prev.index, Len(m.entries)) /\ chosen1
             [] m.kind = "Heartbeat" /\ m \notin owed -> TellCommit(i, m.dst) /\ chosen1
             [] m.kind = "TimeoutNow" -> HandOver(i, m.dst) /\ chosen1
             [] OTHER -> again
    /\ UNCHANGED <<counts, receipts, fresh, ticked>>

Fetches ==
    /\ Is("fetch") /\ Next1
    /\ \E snap \in files[i] : LastId(snap) = E.last /\ SendChunk(i, E.to, snap, E.whole)
    /\ UNCHANGED book

Applies ==
    /\ Is("apply") /\ Next1 /\ Apply(i) /\ node'[i].applied = E.index /\ node[i].log[E.index] = E.entry
    /\ UNCHANGED book

Restores ==
    /\ Is("restore") /\ Next1 /\ Apply(i) /\ node'[i].applied = E.index /\ E.index = node[i].base
    /\ UNCHANGED book

Releases == Is("release") /\ Next1 /\ Compact(i, E.through) /\ UNCHANGED book

Commits ==
    /\ Is("committed") /\ Next1 /\ Nothing
    /\ E.id.index <= node[i].applied /\ IdAt(node[i].log, E.id.index) = E.id

Answers ==
    /\ Is("answer") /\ Next1
    /\ \/ \E r \in node[i].reads : r.id = Client(E.ticket) /\ r.index = E.index /\ Answer(i, r)
       \/ \E a \in node[i].asks : a.number = E.ticket /\ a.index = E.index /\ AnswerAsk(i, a)
    /\ Steps

Looks(s, seen) ==
    /\ s.role = seen.role /\ s.term = seen.term /\ s.vote = seen.vote /\ s.leader = seen.leader
    /\ s.commit = seen.commit /\ s.applied = seen.applied /\ LastId(s.log) = seen.last
    /\ s.snap = seen.snap /\ IdAt(s.log, s.base) = seen.base
    /\ seen.conf \in {{}, Conf(s.log)}
    \* A snapshot on its way to the log's place makes the code forget more than it must.
    /\ LET durable == Durable(s, disk[i], pend[i])
                  installs == \E x \in DOMAIN pend[i] : Len(pend[i][x].image.log) = s.base
       IN  seen.durable = durable \/ (seen.durable < durable /\ installs)

TurnEnds ==
    /\ Is("end") /\ Next1 /\ Up(i) /\ Looks(node[i], E.s)
    /\ owed = {} /\ fresh = 0
    /\ ticked' = FALSE /\ UNCHANGED <<vars, counts, receipts, fresh, owed>>

-----------------------------------------------------------------------------
(* What a turn does on its own, guided by what it is known to have come to.  *)

InTurn ==
    at <= Length /\ Up(i)
        /\ E.k \in {"write", "send", "apply", "committed", "answer", "release", "restore", "fetch", "halt", "end"}

NextStart(j) ==
    LET all == {k \in at..Length : Event(k).k = "start" /\ Event(k).i = j}
    IN  IF all = {} THEN {} ELSE {CHOOSE k \in all : \A o \in all : k <= o}

Hidden ==
    \/ /\ InTurn /\ Stay
       /\ \/ /\ ticked /\ \E goal \in Goal : goal.role # "Follower" /\ goal.term >= node[i].term
             /\ Timeout(i)
          \/ /\ ticked /\ \E goal \in Goal : goal.leader = None
             /\ node[i].leader # None /\ Forget(i)
          \/ /\ Leads(i) /\ \A goal \in Goal : goal.role # "Leader"
             /\ StepDown(i)
          \/ Leads(i) /\ \E goal \in Goal : goal.last.index > Len(node[i].log) /\ Change(i, goal.conf)
          \/ Is("send") /\ Leads(i) /\ E.m.kind = "Heartbeat" /\ E.m.round = node[i].round + 1 /\ Beat(i)
          \/ Is("send") /\ E.m.kind = "ReadIndex" /\ E.m \notin net /\ AskLeader(i)
          \/ Is("send") /\ E.m.kind = "ReadIndexReply" /\ E.m \notin net /\ \E r \in node[i].reads : AnswerFollower(i, r)
       /\ Steps
    \* A file may be there before the node hears of it, or without that it ever does.
    \/ /\ at <= Length /\ Stay /\ UNCHANGED book
       /\ \/ Is("captured") /\ Up(i) /\ E.last.index <= Len(node[i].log) /\ Keep(i, Prefix(node[i].log, E.last.index))
          \/ Is("stored") /\ Up(i) /\ E.all /\ \E m \in node[i].receiving : m.last = E.last /\ Keep(i, m.snap)
          \/ Is("die") /\ Up(i) /\ \E k \in NextStart(i) :
                /\ Event(k).snap > node[i].snap
                /\ \/ Event(k).snap <= Len(node[i].log) /\ Keep(i, Prefix(node[i].log, Event(k).snap))
                   \/ \E m \in node[i].receiving : Len(m.snap) = Event(k).snap /\ Keep(i, m.snap)

TraceNext ==
    \/ Starts \/ Ceases("die") \/ Ceases("halt") \/ Hears1 \/ Ticks \/ Receipt \/ Proposes \/ Reads \/ Captures \/ Stores
    \/ Written \/ Sends \/ Fetches \/ Applies \/ Restores \/ Releases \/ Commits \/ Answers \/ TurnEnds
    \/ Hidden

\* Says how far each variant could be followed.
Tells ==
    /\ IF at > TLCGet(which) THEN TLCSet(which, at) /\ PrintT(<<"followed", which, at - 1, Length>>) ELSE TRUE
ASSUME \A v \in DOMAIN Variants : TLCSet(v, 0)

View == <<which, at, disk, pend, files, node, counts, receipts, fresh, owed, ticked>>
=============================================================================

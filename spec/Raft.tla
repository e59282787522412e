-------------------------------- MODULE Raft --------------------------------
(***************************************************************************)
(* The protocol of raft-core. One action is one input to a node, with all  *)
(* that the node does in the same turn. What a node has only in memory is  *)
(* node[i]; what it has written and the disk has not yet confirmed is      *)
(* pend[i]; what a crash leaves is disk[i] and a part of pend[i].          *)
(* ../docs/spec.md says what is left out, and why.                         *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
    Server,    \* all that may ever be members
    None,      \* no server
    Founders,  \* the first configuration: a set of <<server, standing>>
    Features,  \* which parts of the protocol take part, see below
    Bugs       \* planted bugs: the protocol is right without any

(***************************************************************************)
(* Features: "prevote": campaigns ask first; "patience": a voter may refuse *)
(* since it hears a leader. All else is in whether an action is taken.     *)
(***************************************************************************)

VARIABLES
    net,     \* every message that ever left: what is in it may arrive, twice, late, or never
    disk,    \* disk[i]: boot, term, vote and log on stable storage
    pend,    \* pend[i]: writes under way, in order; each with the promises that wait for it
    files,   \* files[i]: snapshots on stable storage, each as the log that it covers
    node,    \* node[i]: what the process knows, or Down
    chosen,  \* ghost: all that any leader ever committed, each with the leader's term and configuration
    led,     \* ghost: who led which term
    alarm    \* ghost: why some server would have had to halt

vars == <<net, disk, pend, files, node, chosen, led, alarm>>

Min(a, b) == IF a < b THEN a ELSE b
Max(a, b) == IF a > b THEN a ELSE b
Largest(S) == CHOOSE k \in S : \A other \in S : other <= k
Bug(name) == name \in Bugs

-----------------------------------------------------------------------------
(* Logs. An entry has a term, a kind, a command and a configuration. A       *)
(* compacted log keeps what it forgot as a ghost: an index is a place.       *)

IdAt(log, k) == [index |-> k, term |-> IF k = 0 THEN 0 ELSE log[k].term]
LastId(log) == IdAt(log, Len(log))
Prefix(log, k) == SubSeq(log, 1, k)
IsPrefix(a, b) == Len(a) <= Len(b) /\ a = Prefix(b, Len(a))

\* Up to where two logs are the same.
Common(a, b) ==
    LET shared == Min(Len(a), Len(b))
        differ == {k \in 1..shared : a[k] # b[k]}
    IN  IF differ = {} THEN shared ELSE (CHOOSE k \in differ : \A other \in differ : k <= other) - 1

Entry(s, kind, val, conf) == [term |-> s.term, kind |-> kind, val |-> val, conf |-> conf]

UpToDate(last, log) ==
    IF Bug("IndexBeforeTerm") THEN last.index >= Len(log)
    ELSE \/ last.term > LastId(log).term
         \/ last.term = LastId(log).term /\ last.index >= Len(log)

\* The newest entry at or before k whose term is at most t; the base if there is none behind it.
NewestWithin(s, k, t) ==
    LET fit == {j \in s.base..Min(k, Len(s.log)) : IdAt(s.log, j).term <= t}
    IN  IdAt(s.log, IF fit = {} THEN s.base ELSE Largest(fit))

-----------------------------------------------------------------------------
(* Configurations (dissertation 4.3).                                        *)

Members(C) == {pair[1] : pair \in C}
Standing(C, standings) == {pair[1] : pair \in {it \in C : it[2] \in standings}}
Voters(C) == Standing(C, {"Voter", "Joining", "Leaving", "Demoting"})
NewHalf(C) == Standing(C, {"Voter", "Joining"})
OldHalf(C) == Standing(C, {"Voter", "Leaving", "Demoting"})
IsJoint(C) == Standing(C, {"Joining", "Leaving", "Demoting"}) # {}

Majority(voters, S) == 2 * Cardinality(voters \cap S) > Cardinality(voters)
IsQuorum(C, S) == Majority(NewHalf(C), S) /\ (IsJoint(C) => Majority(OldHalf(C), S))

\* By what nodes decide: a quorum, but for planted bugs.
Decides(C, S) ==
    IF Bug("LearnerCounts") THEN Majority(Members(C), S)
    ELSE IF Bug("OneHalfDecides") THEN Majority(NewHalf(C), S)
    ELSE IsQuorum(C, S)

ConfIndex(log) == Largest({0} \cup {k \in 1..Len(log) : log[k].kind = "conf"})
ConfAt(log, k) == LET at == ConfIndex(Prefix(log, k)) IN IF at = 0 THEN Founders ELSE log[at].conf
Conf(log) == ConfAt(log, Len(log))

Settled(standing) == CASE standing = "Joining" -> "Voter"
                       [] standing = "Demoting" -> "Learner"
                       [] OTHER -> standing
Leave(C) == {<<pair[1], Settled(pair[2])>> : pair \in {it \in C : it[2] # "Leaving"}}

\* What may become of a member, or of somebody who is none, by one change; "gone" is nobody.
Fates(standing) ==
    CASE standing = "gone" -> {"gone", "Learner", "Entrant"}
      [] standing = "Learner" -> {"Learner", "Joining", "gone"}
      [] standing = "Entrant" -> {"Entrant", "Joining", "Learner", "gone"}
      [] standing = "Voter" -> {"Voter", "Demoting", "Leaving"}
StandingOf(C, i) == IF i \in Members(C) THEN (CHOOSE pair \in C : pair[1] = i)[2] ELSE "gone"

\* Whether one configuration may follow another: a joint one is left, any other is changed. The same one again puts
\* disks on record, of which this specification knows nothing.
MayFollow(C, D) ==
    /\ NewHalf(D) # {} /\ OldHalf(D) # {}
    /\ IF IsJoint(C)
       THEN D = Leave(C)
       ELSE \A i \in Members(C) \cup Members(D) : StandingOf(D, i) \in Fates(StandingOf(C, i))

-----------------------------------------------------------------------------
(* A node.                                                                   *)

Down == [up |-> FALSE]
Up(i) == node[i].up
Nobody == [j \in Server |-> 0]
Image(s) == [boot |-> s.boot, term |-> s.term, vote |-> s.vote, log |-> s.log]

\* Only a candidate has answers, only a leader the rest.
BecomeFollower(s) ==
    [s EXCEPT !.role = "Follower", !.leader = IF s.role = "Leader" THEN None ELSE @,
              !.yes = {}, !.no = {}, !.first = 0, !.match = Nobody, !.round = 0, !.acked = Nobody, !.reads = {}]

Adopt(s, term) ==
    [BecomeFollower(s) EXCEPT !.term = term, !.vote = None, !.leader = None, !.met = 0]

Boot(d, snap, base) ==
    [up |-> TRUE, role |-> "Follower", boot |-> d.boot + 1, term |-> d.term, vote |-> d.vote, log |-> d.log,
     base |-> base, snap |-> snap, commit |-> snap, applied |-> snap, leader |-> None, met |-> 0,
     yes |-> {}, no |-> {}, first |-> 0, match |-> Nobody, round |-> 0, acked |-> Nobody, reads |-> {},
     batch |-> 0, asks |-> {}, receiving |-> {}, wanted |-> FALSE]

\* Voters of any configuration that is not known to be superseded may stand (dissertation 4.2.2); and who was taken for a
\* voter by a candidate with an older log, and may be the only one that can be elected.
Votes(i, s) == \E k \in s.commit..Len(s.log) : i \in Voters(ConfAt(s.log, k))
MayCampaign(i, s) == Votes(i, s) \/ s.wanted

\* Up to where a log is safe from any crash: on the disk, and in every write under way.
Durable(s, d, p) ==
    LET logs == {d.log} \cup {p[x].image.log : x \in DOMAIN p}
    IN  IF p = <<>> THEN Common(s.log, d.log)
        ELSE CHOOSE k \in 0..Len(s.log) :
                /\ \A log \in logs : Common(s.log, log) >= k
                /\ \E log \in logs : Common(s.log, log) = k

-----------------------------------------------------------------------------
(* Messages. A reply names the boot that asked; requests name none (0).      *)

Requests == {"PreVote", "Vote", "Append", "Heartbeat", "Chunk", "TimeoutNow", "ReadIndex"}
Request(i, s, j, kind, body) ==
    body @@ [kind |-> kind, src |-> i, dst |-> j, term |-> s.term, boot |-> s.boot, to |-> 0]
Reply(i, s, m, kind, body) ==
    body @@ [kind |-> kind, src |-> i, dst |-> m.src, term |-> s.term, boot |-> s.boot, to |-> m.boot]
Empty == <<>>

\* What comes of an input: the node, what leaves at once, what waits for the disk, and up to where acknowledgements
\* that still wait remain true.
Result(s, out, held, keep) == [s |-> s, out |-> out, held |-> held, keep |-> keep, alarm |-> "none"]
Same(s) == Result(s, {}, {}, Len(s.log))
Says(s, out) == Result(s, out, {}, Len(s.log))
Promises(s, held) == Result(s, {}, held, Len(s.log))
Halts(s, why) == [Same(s) EXCEPT !.alarm = why]

-----------------------------------------------------------------------------
(* Elections (paper 5.2, dissertation 9.6).                                  *)

AskBefore(i, s) ==
    LET t == [BecomeFollower(s) EXCEPT !.role = "PreCandidate", !.leader = None]
        ask(j) == [Request(i, t, j, "PreVote", [last |-> LastId(t.log)]) EXCEPT !.term = s.term + 1]
    IN  Says(t, {ask(j) : j \in Voters(Conf(t.log)) \ {i}})

\* The request waits for the term, the vote and the log's tail that it advertises (rule 4).
Campaign(i, s, transfer) ==
    LET t == [Adopt(s, s.term + 1) EXCEPT !.role = "Candidate", !.vote = i, !.wanted = FALSE]
        ask(j) == Request(i, t, j, "Vote", [last |-> LastId(t.log), transfer |-> transfer])
        requests == {ask(j) : j \in Voters(Conf(t.log)) \ {i}}
    IN  IF Bug("CampaignBeforeDurable") THEN Says(t, requests) ELSE Promises(t, requests)

Lead(i, s) ==
    [BecomeFollower(s) EXCEPT !.role = "Leader", !.leader = i, !.first = Len(s.log) + 1,
        !.log = Append(@, Entry(s, "noop", "", {}))]

\* A quorum's durable acknowledgement of an entry of the own term (paper 5.4.2), its own durable one among them (rule 5).
Commit(i, s, d, p) ==
    LET own == IF Bug("LeaderCountsEarly") THEN Len(s.log) ELSE Durable(s, d, p)
        matched == [s.match EXCEPT ![i] = own]
        agreed == {k \in s.commit + 1..Len(s.log) :
                    /\ s.log[k].term = s.term \/ Bug("CommitOldTerm")
                    /\ Decides(Conf(s.log), {j \in Server : matched[j] >= k})}
    IN  IF agreed = {} THEN s ELSE [s EXCEPT !.commit = Largest(agreed)]

\* What follows from the answers and acknowledgements that are in.
Conclude(i, r, d, p) ==
    LET s == r.s
        durable == CASE s.role = "PreCandidate" -> d.boot = s.boot
                     [] s.role = "Candidate" -> (d.term = s.term /\ d.vote = i) \/ Bug("CampaignBeforeDurable")
                     [] OTHER -> FALSE
        yes == s.yes \cup (IF durable THEN {i} ELSE {})
        C == Conf(s.log)
        asked == Campaign(i, s, FALSE)
    IN  CASE s.role = "PreCandidate" /\ Decides(C, yes) ->
               [r EXCEPT !.s = asked.s, !.out = @ \cup asked.out, !.held = @ \cup asked.held]
          [] s.role = "Candidate" /\ Decides(C, yes) -> [r EXCEPT !.s = Lead(i, s)]
          [] s.role \in {"PreCandidate", "Candidate"} /\ Decides(C, s.no) -> [r EXCEPT !.s = BecomeFollower(s)]
          [] s.role = "Leader" -> [r EXCEPT !.s = Commit(i, s, d, p)]
          [] OTHER -> r

\* What another leader was asked, or nobody can be asked any more, is given up.
Asks(i, s) ==
    IF s.leader \in {None, i} THEN {}
    ELSE IF \E a \in s.asks : a.at = "asked" /\ a.leader # s.leader THEN {a \in s.asks : a.at = "ready"}
    ELSE s.asks

\* The end of every action of a node: the write is cut, what promises nothing leaves, what promises something waits for
\* the write and for all before it (rules 1 to 4). Before the boot counter is durable nothing leaves (rule 16).
Finish(i, r, d, p, released) ==
    LET forget(ms) == {m \in ms : ~(m.kind = "Appended" /\ m.matched > r.keep)}
        true == [x \in DOMAIN p |-> [p[x] EXCEPT !.held = forget(@)]]
        staged == (IF p = <<>> THEN d ELSE p[Len(p)].image) # Image(r.s)
        mute == d.boot # r.s.boot
        held == r.held \cup (IF mute THEN r.out ELSE {})
        s == [r.s EXCEPT !.asks = Asks(i, r.s)]
    IN  /\ disk' = [disk EXCEPT ![i] = d]
        /\ pend' = [pend EXCEPT ![i] =
              IF staged THEN Append(true, [image |-> Image(s), held |-> held])
              ELSE IF true = <<>> THEN true ELSE [true EXCEPT ![Len(true)].held = @ \cup held]]
        /\ net' = net \cup released \cup (IF mute THEN {} ELSE r.out) \cup (IF ~staged /\ true = <<>> THEN held ELSE {})
        /\ node' = [node EXCEPT ![i] = s]
        /\ led' = IF s.role = "Leader" THEN led \cup {<<s.term, i>>} ELSE led
        /\ alarm' = IF r.alarm = "none" THEN alarm ELSE r.alarm
        /\ chosen' =
              IF s.role = "Leader" /\ s.commit > Len(chosen)
              THEN chosen \o [k \in 1..s.commit - Len(chosen) |->
                       [entry |-> s.log[Len(chosen) + k], term |-> s.term, conf |-> Conf(s.log)]]
              ELSE chosen

Turn(i, r) == Finish(i, Conclude(i, r, disk[i], pend[i]), disk[i], pend[i], {})

\* Changes nothing but what leaves.
Post(ms) == net' = net \cup ms /\ UNCHANGED <<disk, pend, files, node, chosen, led, alarm>>

-----------------------------------------------------------------------------
(* Voters (voter.rs).                                                        *)

\* Whether a vote would be given. It promises nothing, and no term changes.
\* A candidate asks a server for its vote that has none by its own log, which is newer.
Asked(i, s, m) == [s EXCEPT !.wanted = @ \/ (~Votes(i, s) /\ ~UpToDate(m.last, s.log))]

AnswerPreVote(i, r, m) ==
    LET s == Asked(i, r, m)
        granted == [Reply(i, s, m, "PreVoteReply", [granted |-> TRUE]) EXCEPT !.term = m.term]
        refused == [Reply(i, s, m, "PreVoteReply", [granted |-> FALSE]) EXCEPT !.term = Max(s.term, m.term - 1)]
        would == m.term > s.term /\ UpToDate(m.last, s.log)
    IN  (IF would THEN {Says(s, {granted})} ELSE {})
            \cup (IF ~would \/ "patience" \in Features THEN {Says(s, {refused})} ELSE {})

AnswerVote(i, r, m) ==
    LET s == Asked(i, r, m)
        free == s.vote \in {None, m.src} \/ Bug("VotesTwice")
        t == [BecomeFollower(s) EXCEPT !.vote = m.src]
        answer(granted) == Reply(i, s, m, "VoteReply", [granted |-> granted])
    IN  IF ~free \/ ~UpToDate(m.last, s.log) THEN Says(s, {answer(FALSE)})
        ELSE IF Bug("VoteBeforeDurable") THEN Says(t, {answer(TRUE)}) ELSE Promises(t, {answer(TRUE)})

\* An answer to a candidate: a server answers once.
Count(s, m) ==
    IF m.src \in s.yes \cup s.no \/ m.src \notin Members(Conf(s.log)) THEN Same(s)
    ELSE IF m.granted THEN Same([s EXCEPT !.yes = @ \cup {m.src}]) ELSE Same([s EXCEPT !.no = @ \cup {m.src}])

-----------------------------------------------------------------------------
(* Followers (follower.rs, receiving.rs).                                    *)

TakeAppend(i, s, m) ==
    LET prev == m.prev
        last == prev.index + Len(m.entries)
        theirs(k) == m.entries[k - prev.index]
        known == {k \in prev.index + 1..Min(last, Len(s.log)) : k > s.base}
        differ == {k \in known : theirs(k).term # s.log[k].term}
        keep == IF differ = {} THEN Len(s.log) ELSE (CHOOSE k \in differ : \A o \in differ : k <= o) - 1
        log == IF Bug("TruncateBeforeCompare") THEN Prefix(s.log, Max(prev.index, s.commit)) ELSE Prefix(s.log, keep)
        grown == log \o SubSeq(m.entries, Len(log) - prev.index + 1, Len(m.entries))
        commit == Max(s.commit, Min(m.commit, IF Bug("CommitByOwnLast") THEN Len(grown) ELSE last))
        t == [s EXCEPT !.log = grown, !.met = Max(@, last), !.commit = commit]
        answer == Reply(i, s, m, "Appended", [matched |-> last])
    IN  IF prev.index > Len(s.log) \/ (prev.index > s.base /\ IdAt(s.log, prev.index) # prev)
        THEN Says(s, {Reply(i, s, m, "Conflict",
                 [asked |-> prev, hint |-> NewestWithin(s, prev.index - 1, prev.term)])})
        ELSE IF keep < s.commit THEN Halts(s, "ConflictBelowCommit")
        ELSE IF Bug("AckBeforeDurable") THEN Result(t, {answer}, {}, keep) ELSE Result(t, {}, {answer}, keep)

\* A heartbeat commits only what this leader's appends covered here.
TakeHeartbeat(i, s, m) ==
    LET t == [s EXCEPT !.commit = Max(@, Min(m.commit, Min(s.met, Len(s.log))))]
    IN  IF m.commit > Len(s.log) THEN Halts(s, "LostAcknowledged")
        ELSE Says(t, {Reply(i, s, m, "HeartbeatReply", [round |-> m.round])})

\* The snapshot tells nothing new (Figure 13, rule 6).
IsKnown(s, snap) == Len(snap) <= s.commit \/ IsPrefix(snap, s.log)

AcknowledgeSnapshot(i, s, m, snap) ==
    LET matched == IF Len(snap) <= s.commit THEN Min(s.commit, Durable(s, disk[i], pend[i])) ELSE Len(snap)
        t == [s EXCEPT !.commit = Max(@, Len(snap)), !.met = Max(@, matched)]
    IN  Promises(t, {Reply(i, s, m, "Appended", [matched |-> matched])})

TakeChunk(i, s, m) ==
    IF IsKnown(s, m.snap) THEN AcknowledgeSnapshot(i, s, m, m.snap)
    ELSE Same([s EXCEPT !.receiving = {m}])

\* The log begins anew behind a snapshot that is whole and durable.
Install(i, s, m) ==
    LET t == [s EXCEPT !.log = m.snap, !.base = Len(m.snap), !.snap = Len(m.snap), !.receiving = {},
                       !.commit = Max(@, Len(m.snap)), !.met = Max(@, Len(m.snap))]
        answer == Reply(i, s, m, "Appended", [matched |-> Len(m.snap)])
        keep == Min(s.commit, Len(m.snap))
    IN  IF Bug("InstallAckBeforeDurable") THEN Result(t, {answer}, {}, keep) ELSE Result(t, {}, {answer}, keep)

-----------------------------------------------------------------------------
(* Reads (reads.rs, asks.rs). floor is a ghost: what was committed anywhere  *)
(* when the read arrived.                                                    *)

\* Reads of rounds that a quorum has acknowledged are confirmed.
Confirm(s) ==
    LET heard(r) == r.at = "asked" /\ Decides(Conf(s.log), {j \in Server : s.acked[j] >= r.round})
    IN  [s EXCEPT !.reads = {IF heard(r) THEN [r EXCEPT !.at = "ready"] ELSE r : r \in @}]

\* A new round: who waits joins it, unless nothing of the own term is committed yet (dissertation 6.4).
Join(i, s) ==
    LET may == s.commit >= s.first \/ Bug("ReadBeforeOwnCommit")
        first == IF Bug("ReadBeforeOwnCommit") THEN 0 ELSE s.first
        joins(r) == r.at = "waits" /\ may
        ask(r) == [r EXCEPT !.at = "asked", !.round = s.round + 1, !.index = Max(@, first)]
        t == [s EXCEPT !.round = @ + 1, !.acked[i] = s.round + 1, !.reads = {IF joins(r) THEN ask(r) ELSE r : r \in @}]
    IN  Confirm(t)

Waits(s, id) == [id |-> id, at |-> IF Bug("ReadWithoutRound") THEN "ready" ELSE "waits", round |-> 0,
                 index |-> s.commit, floor |-> Len(chosen)]

\* A follower's question takes the place of its older ones.
TakeReadIndex(i, s, m) ==
    LET id == [from |-> m.src, boot |-> m.boot, number |-> m.batch]
        others == {r \in s.reads : ~(r.id.from = m.src /\ r.id # id /\ r.at # "ready")}
        again == \E r \in others : r.id = id /\ r.at # "ready"
    IN  IF i \notin Voters(Conf(s.log)) THEN Same(s)
        ELSE Same([s EXCEPT !.reads = IF again THEN others ELSE others \cup {Waits(s, id)}])

TakeReadIndexReply(s, m) ==
    LET mine(a) == a.at = "asked" /\ a.leader = m.src /\ a.batch = m.batch
    IN  Same([s EXCEPT !.asks = {IF mine(a) THEN [a EXCEPT !.at = "ready", !.index = m.index] ELSE a : a \in @}])

-----------------------------------------------------------------------------
(* The protocol: every message in every role (node.rs).                      *)

Dispatch(i, s, m) ==
    LET follows == s.role # "Leader" /\ s.leader \in {None, m.src}
        t == [BecomeFollower(s) EXCEPT !.leader = m.src, !.wanted = FALSE]
        member == m.src \in Members(Conf(s.log))
        leads == s.role = "Leader" /\ member
    IN  CASE m.kind = "Vote" -> AnswerVote(i, s, m)
          [] m.kind = "PreVoteReply" /\ s.role = "PreCandidate" -> Count(s, m)
          [] m.kind = "VoteReply" /\ s.role = "Candidate" -> Count(s, m)
          [] m.kind = "Append" /\ follows -> TakeAppend(i, t, m)
          [] m.kind = "Heartbeat" /\ follows -> TakeHeartbeat(i, t, m)
          [] m.kind = "Chunk" /\ follows -> TakeChunk(i, t, m)
          [] m.kind = "TimeoutNow" /\ s.role = "Follower" /\ s.leader = m.src /\ MayCampaign(i, s) ->
               Campaign(i, s, TRUE)
          [] m.kind = "Appended" /\ leads /\ m.matched <= Len(s.log) ->
               Same([s EXCEPT !.match[m.src] = Max(@, m.matched)])
          [] m.kind = "HeartbeatReply" /\ leads /\ m.round <= s.round ->
               Same(Confirm([s EXCEPT !.acked[m.src] = Max(@, m.round)]))
          [] m.kind = "ReadIndex" /\ leads -> TakeReadIndex(i, s, m)
          [] m.kind = "ReadIndexReply" /\ s.role = "Follower" -> TakeReadIndexReply(s, m)
          [] OTHER -> Same(s)

\* The term rule (Figure 2), and its exceptions: pre-votes change no term, and a voter that hears a leader refuses a
\* candidate without taking its term.
Outcomes(i, s, m) ==
    LET t == IF m.term > s.term THEN Adopt(s, m.term) ELSE s
        patient == "patience" \in Features /\ m.kind = "Vote" /\ ~m.transfer
        \* After a restart it isn't known whether this is the disk that has the vote.
        unsure == m.kind = "Vote" /\ m.term = s.term /\ s.vote = m.src /\ s.boot > 1
    IN  CASE m.kind = "PreVote" -> AnswerPreVote(i, s, m)
          [] m.kind = "PreVoteReply" /\ m.granted ->
               {IF s.role = "PreCandidate" /\ m.term = s.term + 1 THEN Count(s, m) ELSE Same(s)}
          [] m.term < s.term ->
               {IF m.kind \in Requests THEN Says(s, {Reply(i, s, m, "Stale", Empty)}) ELSE Same(s)}
          [] OTHER -> {Dispatch(i, t, m)}
               \cup (IF patient \/ unsure THEN {Says(s, {Reply(i, s, m, "VoteReply", [granted |-> FALSE])})} ELSE {})

\* A reply is for the boot that asked (rule 16).
Hears(i, m) == Up(i) /\ m.dst = i /\ (m.to \in {0, node[i].boot} \/ Bug("ReplyToEarlierBoot"))

Receive(m) ==
    /\ m \in net /\ Hears(m.dst, m)
    /\ \E r \in Outcomes(m.dst, node[m.dst], m) : Turn(m.dst, r)
    /\ UNCHANGED files

-----------------------------------------------------------------------------
(* What happens to a node beside messages.                                   *)

\* The election timeout. Only a voter by its own log stands (rule 10).
Timeout(i) ==
    /\ Up(i) /\ node[i].role # "Leader" /\ MayCampaign(i, node[i])
    /\ Turn(i, IF "prevote" \in Features THEN AskBefore(i, node[i]) ELSE Campaign(i, node[i], FALSE))
    /\ UNCHANGED files

\* .. or it knows of no leader any more and does nothing.
Forget(i) ==
    /\ Up(i) /\ node[i].role # "Leader"
    /\ Turn(i, Same([node[i] EXCEPT !.leader = None]))
    /\ UNCHANGED files

\* A leader without a quorum or without a vote, with a disk that stalls; a candidate that lost.
StepDown(i) ==
    /\ Up(i) /\ node[i].role # "Follower"
    /\ Turn(i, Same(BecomeFollower(node[i])))
    /\ UNCHANGED files

\* The oldest k writes are durable, and what waited for them leaves.
Persist(i, k) ==
    /\ Up(i) /\ k \in 1..Len(pend[i])
    /\ LET p == SubSeq(pend[i], k + 1, Len(pend[i]))
           released == UNION {pend[i][x].held : x \in 1..k}
           d == pend[i][k].image
       IN  Finish(i, Conclude(i, Same(node[i]), d, p), d, p, released)
    /\ UNCHANGED files

\* The process dies. Writes are carried out in order, so some first ones of those under way are there afterwards.
Crash(i, k) ==
    /\ Up(i) /\ k \in 0..Len(pend[i])
    /\ node' = [node EXCEPT ![i] = Down]
    /\ pend' = [pend EXCEPT ![i] = <<>>]
    /\ disk' = [disk EXCEPT ![i] = IF k = 0 THEN @ ELSE pend[i][k].image]
    /\ UNCHANGED <<net, files, chosen, led, alarm>>

\* It comes back, with the newest snapshot that fits its log. The log may begin anywhere up to there.
Start(i, base) ==
    LET fit == {Len(snap) : snap \in {it \in files[i] : IsPrefix(it, disk[i].log)}}
        snap == Largest({0} \cup fit)
        s == Boot(disk[i], snap, base)
    IN  /\ ~Up(i) /\ base <= snap
        /\ node' = [node EXCEPT ![i] = s]
        /\ pend' = [pend EXCEPT ![i] = <<[image |-> Image(s), held |-> {}]>>]
        /\ UNCHANGED <<net, disk, files, chosen, led, alarm>>

\* The next entry, or the snapshot that came in the log's place: committed, and durable here.
Apply(i) ==
    LET s == node[i]
        next == Max(s.applied + 1, s.base)
        limit == IF Bug("ApplyBeforeDurable") THEN Len(s.log) ELSE Durable(s, disk[i], pend[i])
    IN  /\ Up(i) /\ next <= Min(s.commit, limit)
        /\ node' = [node EXCEPT ![i].applied = next]
        /\ UNCHANGED <<net, disk, pend, files, chosen, led, alarm>>

-----------------------------------------------------------------------------
(* Leaders.                                                                  *)

Leads(i) == Up(i) /\ node[i].role = "Leader"

Propose(i, val) ==
    /\ Leads(i)
    /\ Turn(i, Same([node[i] EXCEPT !.log = Append(@, Entry(node[i], "cmd", val, {}))]))
    /\ UNCHANGED files

\* In force at once; one at a time, and not before a commit of the own term (rule 11). What was known of those who are
\* members no more is forgotten.
Change(i, C) ==
    LET s == node[i]
        t == [s EXCEPT !.log = Append(@, Entry(s, "conf", "", C)),
                       !.match = [j \in Server |-> IF j \in Members(C) THEN @[j] ELSE 0],
                       !.acked = [j \in Server |-> IF j \in Members(C) THEN @[j] ELSE 0]]
    IN  /\ Leads(i) /\ MayFollow(Conf(s.log), C)
        /\ s.commit >= s.first
        /\ ConfIndex(s.log) <= s.commit \/ Bug("ChangeOnChange")
        /\ Turn(i, Same(t))
        /\ UNCHANGED files

\* Any part of the log that is still there, to any member.
SendAppend(i, j, prev, count) ==
    LET s == node[i]
        body == [prev |-> IdAt(s.log, prev), entries |-> SubSeq(s.log, prev + 1, prev + count), commit |-> s.commit]
    IN  /\ Leads(i) /\ j \in Members(Conf(s.log)) \ {i}
        /\ prev \in s.base..Len(s.log) /\ prev + count <= Len(s.log)
        /\ Post({Request(i, s, j, "Append", body)})

\* The commit is capped by what the follower acknowledged.
HeartbeatTo(i, s, j) ==
    LET commit == IF Bug("HeartbeatUncapped") THEN s.commit ELSE Min(s.commit, s.match[j])
    IN  Request(i, s, j, "Heartbeat", [commit |-> commit, round |-> s.round])

TellCommit(i, j) ==
    /\ Leads(i) /\ j \in Members(Conf(node[i].log)) \ {i}
    /\ Post({HeartbeatTo(i, node[i], j)})

Beat(i) ==
    LET s == Join(i, node[i])
    IN  /\ Leads(i)
        /\ Turn(i, Says(s, {HeartbeatTo(i, s, j) : j \in Members(Conf(s.log)) \ {i}}))
        /\ UNCHANGED files

HandOver(i, j) ==
    /\ Leads(i) /\ j \in NewHalf(Conf(node[i].log)) \ {i}
    /\ Post({Request(i, node[i], j, "TimeoutNow", Empty)})

\* A client asks a leader that has a vote; is answered once the round is confirmed and the index applied.
Client(number) == [from |-> None, boot |-> 0, number |-> number]

Read(i, number) ==
    /\ Leads(i) /\ i \in Voters(Conf(node[i].log))
    /\ Turn(i, Same([node[i] EXCEPT !.reads = @ \cup {Waits(node[i], Client(number))}]))
    /\ UNCHANGED files

Answer(i, r) ==
    /\ Leads(i) /\ r \in node[i].reads /\ r.at = "ready" /\ r.id.from = None /\ r.index <= node[i].applied
    /\ Turn(i, Same([node[i] EXCEPT !.reads = @ \ {r}]))
    /\ UNCHANGED files

\* A follower's read that is confirmed is answered without being applied here: that is the follower's part.
AnswerFollower(i, r) ==
    LET m == [src |-> r.id.from, boot |-> r.id.boot]
        s == [node[i] EXCEPT !.reads = @ \ {r}]
    IN  /\ Leads(i) /\ r \in node[i].reads /\ r.at = "ready" /\ r.id.from # None
        /\ Turn(i, Says(s, {Reply(i, s, m, "ReadIndexReply", [batch |-> r.id.number, index |-> r.index])}))
        /\ UNCHANGED files

-----------------------------------------------------------------------------
(* Reads at followers: one question at a time (asks.rs).                     *)

Ask(i, number) ==
    LET ask == [number |-> number, at |-> "waits", batch |-> 0, leader |-> None, index |-> 0, floor |-> Len(chosen)]
    IN  /\ Up(i) /\ node[i].role = "Follower" /\ node[i].leader # None
        /\ Turn(i, Same([node[i] EXCEPT !.asks = @ \cup {ask}]))
        /\ UNCHANGED files

AskLeader(i) ==
    LET s == node[i]
        ask(a) == IF a.at = "waits" THEN [a EXCEPT !.at = "asked", !.batch = s.batch + 1, !.leader = s.leader] ELSE a
        t == [s EXCEPT !.batch = @ + 1, !.asks = {ask(a) : a \in @}]
    IN  /\ Up(i) /\ s.leader \notin {None, i}
        /\ \E a \in s.asks : a.at = "waits"
        /\ ~\E a \in s.asks : a.at = "asked"
        /\ Turn(i, Says(t, {Request(i, t, s.leader, "ReadIndex", [batch |-> t.batch])}))
        /\ UNCHANGED files

AnswerAsk(i, a) ==
    /\ Up(i) /\ a \in node[i].asks /\ a.at = "ready" /\ a.index <= node[i].applied
    /\ Turn(i, Same([node[i] EXCEPT !.asks = @ \ {a}]))
    /\ UNCHANGED files

-----------------------------------------------------------------------------
(* Snapshots (capture.rs, receiving.rs). The file is durable before the node *)
(* hears of it; the log may forget what it covers.                           *)

Keep(i, snap) ==
    /\ \/ Up(i) /\ Len(snap) \in 1..node[i].applied /\ IsPrefix(snap, node[i].log)
       \/ \E m \in net : m.kind = "Chunk" /\ m.dst = i /\ m.whole /\ m.snap = snap
    /\ files' = [files EXCEPT ![i] = @ \cup {snap}]
    /\ UNCHANGED <<net, disk, pend, node, chosen, led, alarm>>

Captured(i, k) ==
    LET s == node[i]
    IN  /\ Up(i) /\ k \in Max(s.snap, s.base)..Len(s.log) /\ Prefix(s.log, k) \in files[i]
        /\ node' = [node EXCEPT ![i].snap = k]
        /\ UNCHANGED <<net, disk, pend, files, chosen, led, alarm>>

Compact(i, k) ==
    LET s == node[i]
    IN  /\ Up(i) /\ k \in s.base + 1..IF Bug("CompactsPastSnapshot") THEN s.applied ELSE s.snap
        /\ node' = [node EXCEPT ![i].base = k]
        /\ UNCHANGED <<net, disk, pend, files, chosen, led, alarm>>

\* The whole of a snapshot, or a part of it.
SendChunk(i, j, snap, whole) ==
    LET body == [last |-> LastId(snap), snap |-> snap, whole |-> whole]
    IN  /\ Leads(i) /\ snap \in files[i] /\ IsPrefix(snap, node[i].log) /\ j \in Members(Conf(node[i].log)) \ {i}
        /\ Post({Request(i, node[i], j, "Chunk", body)})

\* The driver has stored what came: the file is durable if that was all. Only a follower of the leader that sends it
\* takes it.
Stored(i, m, all) ==
    LET s == node[i]
        t == [s EXCEPT !.receiving = {}]
    IN  /\ Up(i) /\ m \in s.receiving /\ (all => m.snap \in files[i])
        /\ Turn(i,
             IF s.role # "Follower" \/ s.leader # m.src THEN Same(s)
             ELSE IF ~all THEN Says(s, {Reply(i, s, m, "ChunkReply", [last |-> m.last])})
             ELSE IF IsKnown(s, m.snap) THEN AcknowledgeSnapshot(i, t, m, m.snap)
             ELSE Install(i, s, m))
        /\ UNCHANGED files

-----------------------------------------------------------------------------
(* What must hold.                                                           *)

Running == {i \in Server : Up(i)}

\* At most one leader a term, over all time (Figure 3).
ElectionSafety == \A a, b \in led : a[1] = b[1] => a = b

\* A server gives one vote a term, over all its boots: its own, by asking, is one of them.
Ballots ==
    {<<m.src, m.term, m.dst>> : m \in {it \in net : it.kind = "VoteReply" /\ it.granted}}
        \cup {<<m.src, m.term, m.src>> : m \in {it \in net : it.kind = "Vote"}}
OneVoteATerm == \A a, b \in Ballots : a[1] = b[1] /\ a[2] = b[2] => a[3] = b[3]

\* What a vote or a request for votes promises is on the disk of who made it.
VotesAreDurable ==
    \A b \in Ballots : disk[b[1]].term > b[2] \/ (disk[b[1]].term = b[2] /\ disk[b[1]].vote = b[3])

\* Logs that agree on an entry's place and term agree on all up to there (Figure 3).
LogMatching ==
    \A i, j \in Running : LET a == node[i].log b == node[j].log
        IN \A k \in 1..Min(Len(a), Len(b)) : a[k].term = b[k].term => Prefix(a, k) = Prefix(b, k)

\* A leader has all that was committed in earlier terms (Figure 3).
LeaderCompleteness ==
    \A i \in Running : node[i].role = "Leader" =>
        \A k \in 1..Len(chosen) : chosen[k].term < node[i].term =>
            k <= Len(node[i].log) /\ node[i].log[k] = chosen[k].entry

\* No two servers commit, and so apply, different entries at one place (Figure 3).
StateMachineSafety ==
    \A i \in Running : /\ node[i].commit <= Len(chosen)
                       /\ \A k \in 1..node[i].commit : node[i].log[k] = chosen[k].entry

\* What is committed is on the disks of a quorum of the configuration by which it was counted.
CommitsAreDurable ==
    \A k \in 1..Len(chosen) :
        IsQuorum(chosen[k].conf,
            {i \in Server : k <= Len(disk[i].log) /\ disk[i].log[k] = chosen[k].entry})

\* Nobody could be elected with a log that lacks it.
CommitsCannotBeLost ==
    \A i \in Server : LET log == disk[i].log
        IN (i \in Voters(Conf(log)) /\ \E k \in 1..Len(chosen) : k > Len(log) \/ log[k] # chosen[k].entry) =>
            ~IsQuorum(Conf(log), {j \in Server : UpToDate(LastId(log), disk[j].log)})

\* A read sees all that was committed anywhere when it arrived.
ReadsAreLinearizable ==
    \A i \in Running : /\ \A r \in node[i].reads : r.at = "ready" => r.index >= r.floor
                       /\ \A a \in node[i].asks : a.at = "ready" => a.index >= a.floor

\* What is applied is durable here, and a log's beginning is covered by a snapshot.
Sound ==
    \A i \in Running : LET s == node[i]
        IN /\ s.applied <= s.commit /\ s.commit <= Len(s.log)
           /\ s.applied <= Durable(s, disk[i], pend[i])
           /\ s.base <= s.snap

\* Every majority of a configuration meets every one of the next (dissertation 4.3).
Quorums(C) == {S \in SUBSET Members(C) : IsQuorum(C, S)}
AdjacentConfigurationsIntersect ==
    \A i \in Running : LET log == node[i].log
        IN \A k \in 1..Len(log) : log[k].kind = "conf" =>
            \A a \in Quorums(ConfAt(log, k - 1)), b \in Quorums(log[k].conf) : a \cap b # {}

\* No server would have to halt: each of its reports means that a disk lost what it had promised.
NobodyHalts == alarm = "none"
=============================================================================

--------------------------------- MODULE MC ---------------------------------
(* The specification within bounds, for an exhaustive search.                *)
EXTENDS Raft

CONSTANTS
    Actions,    \* what takes part beside elections
    Begins,     \* "empty", or "led": the first server leads term 1, and all have its first entry
    First,      \* .. the server that does
    Stands,     \* who may stand for election in which term; beyond its length nobody does
    MaxLog, MaxPend, MaxCrashes, MaxRounds, MaxReads, MaxNet, Confs

noop(term) == Entry([term |-> term], "noop", "", {})
Blank == [boot |-> 0, term |-> 0, vote |-> None, log |-> <<>>]
Ruled == [boot |-> 1, term |-> 1, vote |-> First, log |-> <<noop(1)>>]
Follows == [Boot([Ruled EXCEPT !.boot = 0], 0, 0) EXCEPT !.leader = First, !.met = 1]
Rules == [Follows EXCEPT !.role = "Leader", !.met = 0, !.first = 1, !.commit = 1, !.match = [j \in Server |-> 1]]

Init ==
    /\ net = {} /\ files = [i \in Server |-> {}] /\ alarm = "none"
    /\ pend = [i \in Server |-> <<>>]
    /\ IF Begins = "empty"
       THEN /\ disk = [i \in Server |-> [Blank EXCEPT !.boot = 1]]
            /\ node = [i \in Server |-> Boot(Blank, 0, 0)]
            /\ chosen = <<>> /\ led = {}
       ELSE /\ disk = [i \in Server |-> IF i \in Members(Founders) THEN Ruled ELSE [Blank EXCEPT !.boot = 1]]
            /\ node = [i \in Server |-> IF i = First THEN [Rules EXCEPT
                            !.match = [j \in Server |-> IF j \in Members(Founders) \ {First} THEN 1 ELSE 0]]
                        ELSE IF i \in Members(Founders) THEN Follows ELSE Boot(Blank, 0, 0)]
            /\ chosen = <<[entry |-> noop(1), term |-> 1, conf |-> Founders]>> /\ led = {<<1, First>>}

Takes(name) == name \in Actions
Free(i) == Len(pend[i]) < MaxPend
Room(i) == Len(node[i].log) < MaxLog
MayStand(i) == Up(i) /\ node[i].term < Len(Stands) /\ i \in Stands[node[i].term + 1]

\* Whether a message would change anything: one that can't isn't received, to save the search the trouble.
Matters(m) ==
    /\ m.kind \in {"VoteReply", "PreVoteReply", "Stale"} => node[m.dst].role # "Leader"
    /\ m.kind = "VoteReply" => m.src \notin node[m.dst].yes
    /\ m.kind = "Appended" => m.matched > node[m.dst].match[m.src] \/ m.term > node[m.dst].term
    /\ m.kind \in {"Append", "Heartbeat", "Vote", "TimeoutNow", "Chunk", "ReadIndex"} => m.term >= node[m.dst].term
    /\ m.kind = "TimeoutNow" => MayStand(m.dst)
    /\ m.kind = "PreVoteReply" /\ m.granted => MayStand(m.dst)
    /\ m.kind # "Conflict"

Next ==
    \/ \E m \in net : Hears(m.dst, m) /\ Matters(m) /\ Receive(m)
    \/ \E i \in Server :
        \/ MayStand(i) /\ Free(i) /\ Timeout(i)
        \/ \E k \in 1..Len(pend[i]) : Persist(i, k)
        \/ /\ Takes("crash") /\ \A j \in Server : Up(j)
           /\ disk[i].boot <= MaxCrashes /\ \E k \in 0..Len(pend[i]) : Crash(i, k)
        \/ \E base \in 0..IF Up(i) THEN 0 ELSE Len(disk[i].log) : Start(i, base)
        \/ Takes("propose") /\ Leads(i) /\ Room(i) /\ Propose(i, "x")
        \/ Takes("change") /\ Leads(i) /\ Room(i) /\ \E C \in Confs : C # Conf(node[i].log) /\ Change(i, C)
        \/ /\ Leads(i)
           /\ \E j \in Members(Conf(node[i].log)) \ {i} :
                \/ Takes("append") /\ \E prev \in node[i].base..Len(node[i].log) - 1 : SendAppend(i, j, prev, 1)
                \/ Takes("tell") /\ node[i].commit > 0 /\ TellCommit(i, j)
                \/ Takes("transfer") /\ MayStand(j) /\ HandOver(i, j)
                \/ Takes("snapshot") /\ \E snap \in files[i] : SendChunk(i, j, snap, TRUE)
        \/ Takes("read") /\ Leads(i) /\ node[i].round < MaxRounds /\ Beat(i)
        \/ Takes("read") /\ Leads(i) /\ \E id \in 1..MaxReads :
              (\A j \in Running : \A r \in node[j].reads : r.id # Client(id)) /\ Read(i, id)
        \/ /\ Takes("ask") /\ Up(i)
           /\ \/ node[i].asks = {} /\ Ask(i, 1)
              \/ AskLeader(i)
              \/ \E r \in node[i].reads : AnswerFollower(i, r)
        \/ Takes("apply") /\ Apply(i)
        \/ /\ Takes("snapshot") /\ Up(i)
           /\ \/ \E k \in 1..node[i].applied : Keep(i, Prefix(node[i].log, k))
              \/ \E m \in node[i].receiving : m.whole /\ Keep(i, m.snap)
              \/ \E k \in 1..Len(node[i].log) : (k > node[i].snap /\ Captured(i, k)) \/ Compact(i, k)
              \/ \E m \in node[i].receiving : Stored(i, m, m.whole)

Bounded ==
    /\ Cardinality(net) <= MaxNet
    /\ \A i \in Server : Len(pend[i]) <= MaxPend /\ (Up(i) => Len(node[i].log) <= MaxLog)
=============================================================================

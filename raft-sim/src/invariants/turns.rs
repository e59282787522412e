//! What is looked at when a turn of a node is over.

use super::chain::Agreement;
use super::cluster::Step;
use super::exactly_once::Effect;
use super::{
    Judges, Verdict, acknowledged_stays, commit_quorum, commit_told, configurations, election_safety,
    hand_over, leader_append_only, leadership, monotone, patience, repair, sightings, state_machine_safety,
    terms,
};
use crate::coverage::Mark;
use crate::facts::Time;
use raft_core::{Index, Log, NodeId, RoleName, Status, Term};

impl Judges {
    pub(super) fn stepped(&mut self, at: Time, node: NodeId, status: &Status, log: &Log) -> Verdict {
        let seat = self.cluster.seat(node);
        let before = seat.status.clone();
        let Agreement { kept, installed } = seat.log.agreement(log);
        let (ended, told) = (seat.log.last(), seat.spoken.tells(status.term, status.commit));
        let step = Step { node, before: before.as_ref(), after: status, log, ended, kept, installed };
        monotone::stepped(&step, seat.started_in, seat.started_at)?;
        leader_append_only::stepped(&step)?;
        acknowledged_stays::stepped(seat, &step)?;
        seat.receipts.stepped(&step)?;
        repair::stepped(seat, &step)?;
        self.ruin.stepped(&step)?;
        state_machine_safety::stepped(&self.cluster, &step)?;
        self.matching.stepped(&step)?;
        commit_told::stepped(self.cluster.seat_mut(node), &step)?;
        hand_over::stepped(self.cluster.seat_mut(node), &step)?;
        patience::stepped(self.cluster.seat_mut(node), &self.rules, at, &step)?;
        terms::stepped(self.cluster.seat_mut(node), &step)?;
        self.cluster.seat_mut(node).stepped(&step);
        leadership::stepped(&mut self.cluster, &self.rules, at, node, status)?;
        self.liveness.stays(&self.cluster, &self.rules, &step)?;
        if self.liveness.stepped(at, node, status, &self.rules) {
            self.coverage.reach(Mark::LateLeader);
        }
        if status.role == RoleName::Leader {
            self.leads(&step)?;
        }
        if status.commit > self.cluster.canon.last().index {
            self.committed(&step)?;
        } else if before.as_ref().is_none_or(|before| before.commit < status.commit) {
            self.committed_late(&step, told);
        }
        terms::follows(&self.completeness, &step)?;
        configurations::stepped(&self.cluster, &mut self.coverage, &step)?;
        let changes = before.as_ref().is_some_and(|before| before.membership_at < status.membership_at);
        if changes || self.liveness.catches_up(&self.cluster, &step) {
            self.liveness.moves(at);
        }
        sightings::stepped(&self.cluster, &mut self.coverage, &step);
        let waiting = self.tickets.waiting(node);
        self.bounds.stepped(&self.cluster, &step, waiting)?;
        self.tickets.stepped(&step);
        Ok(())
    }

    /// A node leads after a turn.
    fn leads(&mut self, step: &Step<'_>) -> Verdict {
        let (node, term) = (step.node, step.after.term);
        if self.cluster.seat(node).led == Some(term) {
            return Ok(());
        }
        let newest = self.elections.newest();
        self.claim(node, step.after.term)?;
        if election_safety::elected(&self.cluster, node, term)? {
            self.coverage.reach(Mark::ElectedBlindly);
        }
        let (log, canon) = (step.log, &self.cluster.canon);
        self.completeness.leads((node, term), (log.base(), log.last()), |index| log.hash_at(index), canon)?;
        sightings::elected(&self.cluster, &mut self.coverage, newest, step);
        Ok(())
    }

    /// A process leads a term, or speaks as if it did.
    pub(super) fn claim(&mut self, node: NodeId, term: Term) -> Verdict {
        let seat = self.cluster.seat_mut(node);
        if seat.led == Some(term) {
            return Ok(());
        }
        self.elections.claim(term, node, seat.stamp)?;
        // What a slow disk had to read leaves late.
        if seat.led < Some(term) {
            seat.led = Some(term);
            seat.round = Default::default();
            seat.rounds.clear();
            seat.matched.clear();
        }
        Ok(())
    }

    /// A leader, that may have stepped down since, commits what one of a later term has committed before. `told`: a
    /// leader told it so in this turn, whom it followed.
    fn committed_late(&mut self, step: &Step<'_>, told: bool) {
        let led =
            [step.before, Some(step.after)].into_iter().flatten().find(|it| it.role == RoleName::Leader);
        let (at, canon) = (step.after.commit, &self.cluster.canon);
        if let (Some(led), Some(id), Some(hash)) = (led, canon.id_at(at), canon.hash_at(at))
            && !told
        {
            self.completeness.committed(led.term, id, hash);
        }
    }

    /// The first node whose commit reaches an index.
    fn committed(&mut self, step: &Step<'_>) -> Verdict {
        let term = commit_quorum::advanced(&self.cluster, step)?;
        if let Some(founding) = step.log.membership_at(Index(0)) {
            self.cluster.canon.found(founding);
        }
        let first = self.cluster.canon.last().index.next();
        for entry in step.log.from(first).take_while(|entry| entry.index() <= step.after.commit) {
            let follows = self.cluster.canon.push(entry);
            assert!(follows, "a log is contiguous, and the common part was compared");
            self.coverage.reach(Mark::Commits);
            if entry.term() < term {
                self.coverage.reach(Mark::OldTermCommitted);
            }
            let effect = self.once.committed(entry, &mut self.coverage)?;
            self.cluster.model.committed(entry, effect != Effect::None);
            self.history.committed(entry, effect)?;
        }
        let canon = &self.cluster.canon;
        self.completeness.committed(term, canon.last(), canon.last_hash());
        // A leader of an earlier term may commit late.
        for (node, seat) in self.cluster.seats().filter(|(node, _)| *node != step.node) {
            let (log, later) =
                (&seat.log, seat.leading().map(|status| status.term).filter(|led| *led > term));
            if let Some(led) = later {
                self.completeness.leads(
                    (node, led),
                    (log.base(), log.last()),
                    |index| log.hash_at(index),
                    canon,
                )?;
            }
        }
        Ok(())
    }
}

//! What is done to whom, when, and for how long.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use super::Stage;
use super::dice::Dice;
use crate::cluster::Part;

/// One misfortune.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    what: What,
    whom: Whom,
    how: How,
    /// Since the round began.
    after: Duration,
    lasts: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Replica,
    Server,
    Master,
}

#[derive(Clone, Copy, Debug)]
enum Whom {
    /// Whoever leads then.
    Leader,
    Any(usize),
}

#[derive(Clone, Copy, Debug)]
enum How {
    Kill,
    /// SIGSTOP, and SIGCONT once it has lasted longer than a session.
    Sleep,
    /// The links to ZooKeeper pass nothing; a server's links are those of all its clients.
    Cut,
    /// Stopped for less than a session, while its place at the head of the line is taken away: when the leader wakes,
    /// nothing but the journal tells it that another one leads.
    Rob,
}

impl Fault {
    /// Chooses one; there are three of each kind of process.
    pub(super) fn choose(dice: &mut Dice, session: Duration) -> Self {
        // Replicas are what this is about.
        let what = [What::Replica, What::Replica, What::Server, What::Master][dice.index(4)];
        let whom = if dice.below(2) == 0 { Whom::Leader } else { Whom::Any(dice.index(3)) };
        let how = [How::Kill, How::Sleep, How::Cut][dice.index(3)];
        let after = dice.between(Duration::ZERO, Duration::from_millis(1500));
        let beyond = dice.between(session + Duration::from_millis(500), session + Duration::from_secs(2));
        let lasts = match how {
            How::Sleep => beyond,
            How::Kill => dice.between(Duration::ZERO, session),
            // Some cuts are over before anybody is missed.
            How::Cut if dice.below(3) == 0 => dice.between(Duration::from_millis(200), session / 2),
            How::Cut => beyond,
            How::Rob => Duration::ZERO,
        };
        if matches!((what, whom, how), (What::Replica, Whom::Leader, How::Sleep)) && dice.below(2) == 0 {
            let lasts = dice.between(Duration::from_millis(500), session / 2);
            return Self { what, whom, how: How::Rob, after, lasts };
        }
        Self { what, whom, how, after, lasts }
    }

    /// Does it, waits as long as it lasts, and undoes it; returns what was done.
    ///
    /// # Errors
    /// It can't be done or undone.
    pub(super) async fn strike(self, stage: &mut Stage) -> Result<String> {
        tokio::time::sleep(self.after).await;
        let index = match self.whom {
            Whom::Any(index) => index,
            // Where nobody leads just now, the first one will do.
            Whom::Leader => self.leader(stage).await.unwrap_or(0),
        };
        let led = if matches!(self.whom, Whom::Leader) { ", the leader," } else { "" };
        let (what, how) = (self.what, self.how);
        let said = format!("after {:?}: {what} {}{led} {how} for {:?}", self.after, index + 1, self.lasts);
        self.begin(stage, index)?;
        if matches!(self.how, How::Rob) {
            stage.rob().await?;
        }
        tokio::time::sleep(self.lasts).await;
        self.end(stage, index)?;
        Ok(said)
    }

    async fn leader(self, stage: &Stage) -> Result<usize> {
        match self.what {
            What::Replica => stage.replicas.leader().await,
            What::Server => stage.replicas.zookeeper.leader().await,
            What::Master => stage.replicas.cluster.leader().await,
        }
    }

    fn begin(self, stage: &mut Stage, index: usize) -> Result<()> {
        let replicas = &mut stage.replicas;
        match (self.what, self.how) {
            (What::Replica, How::Kill) => replicas.kill(index),
            (What::Replica, How::Sleep | How::Rob) => replicas.stop(index)?,
            (What::Replica, How::Cut) => replicas.relays(index).cut(),
            (What::Server, How::Kill) => replicas.zookeeper.kill_one(index),
            (What::Server, How::Sleep | How::Rob) => replicas.zookeeper.stop_one(index)?,
            (What::Server, How::Cut) => stage.relays().for_each(|relays| relays.cut_from(index)),
            (What::Master, How::Kill) => replicas.cluster.kill(Part::Master(index)),
            (What::Master, How::Sleep | How::Rob) => replicas.cluster.stop(Part::Master(index))?,
            (What::Master, How::Cut) => stage.masters[index].cut(),
        }
        Ok(())
    }

    fn end(self, stage: &mut Stage, index: usize) -> Result<()> {
        let replicas = &mut stage.replicas;
        match (self.what, self.how) {
            (What::Replica, How::Kill) => replicas.restart(index),
            (What::Replica, How::Sleep | How::Rob) => replicas.cont(index),
            (What::Server, How::Kill) => replicas.zookeeper.restart_one(index),
            (What::Server, How::Sleep | How::Rob) => replicas.zookeeper.cont_one(index),
            (What::Master, How::Kill) => replicas.cluster.restart(Part::Master(index)),
            (What::Master, How::Sleep | How::Rob) => replicas.cluster.cont(Part::Master(index)),
            (What::Replica | What::Server | What::Master, How::Cut) => {
                stage.relays().for_each(|relays| relays.mend());
                Ok(())
            }
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replica => "replica",
            Self::Server => "ZooKeeper server",
            Self::Master => "Mesos master",
        })
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "is killed, and is away",
            Self::Sleep => "is stopped",
            Self::Cut => "is cut off",
            Self::Rob => "loses its place while it is stopped",
        })
    }
}

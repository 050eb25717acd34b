//! What can be shown: schedulers on a Mesos, how people are led through it, and how it is checked.

use std::path::Path;

use anyhow::Result;
use epic_common::api::PlatformView;
use epic_tests::cluster::Cluster;

use crate::screen::Screen;

/// Schedulers with a platform, and all that they stand on; dropping it kills all of it.
pub(crate) trait Scene: Sized {
    /// What schedulers stand on.
    type Ground;

    /// Starts Mesos and whatever else is needed, without a scheduler.
    ///
    /// # Errors
    /// Something can't be started.
    async fn ground(screen: &Screen) -> Result<Self::Ground>;

    /// The Mesos cluster.
    fn cluster(ground: &Self::Ground) -> &Cluster;

    /// Starts what decides, with a platform of one controller and two workers; doesn't wait for it.
    ///
    /// The bundle's path is absolute.
    ///
    /// # Errors
    /// A program isn't built, or a file can't be written.
    async fn start(ground: Self::Ground, bundle: &Path) -> Result<Self>;

    /// Says what has been started.
    fn opening(&self) -> String;

    /// Asks for what people see; `None` while nobody answers.
    ///
    /// # Errors
    /// Nobody will ever answer: why.
    async fn view(&mut self) -> Result<Option<PlatformView>>;

    /// Says what has happened since it was last asked, besides what a view shows.
    ///
    /// # Errors
    /// Something can't go on.
    async fn news(&mut self) -> Result<Vec<String>>;

    /// Lists the pages to see and the commands to type.
    ///
    /// # Errors
    /// A member has no endpoint.
    fn guide(&self, view: &PlatformView) -> Result<String>;

    /// Looks at everything, as a person would.
    ///
    /// # Errors
    /// The first thing that isn't as it should be.
    async fn check(&mut self, screen: &Screen, view: &PlatformView) -> Result<()>;

    /// Asks for the platform's removal.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    async fn uninstall(&mut self) -> Result<()>;

    /// Ends the schedulers in good order, and returns what to say of it.
    ///
    /// # Errors
    /// One ends with a failure, or not at all.
    async fn end(&mut self) -> Result<&'static str>;

    /// The ends of all logs.
    fn logs(&mut self) -> String;
}

//! Which secrets a scheduler was given, and which it lacks.

use epic_common_io::secret::{Named, Source};

use super::{Config, Error};

/// Where the secrets of a scheduler are.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// That of `--principal`.
    pub mesos: Option<Source>,
    /// The token that allows changes; without one the scheduler makes its own.
    pub token: Option<Source>,
}

impl Secrets {
    /// Finds out which there are; what a file holds is looked at later.
    pub(super) fn of(config: &Config) -> Result<Self, Error> {
        let mesos = MESOS.source(config.secret_file.as_ref())?;
        let token = TOKEN.source(config.token_file.as_ref())?;
        let secrets = Self { mesos, token };
        secrets.check(config).map_err(Error::Unfit)?;
        Ok(secrets)
    }

    /// A name without a secret proves nothing, and a secret belongs to a name. Without a token for all, each leader would
    /// replace the token of the one before it by its own.
    fn check(&self, config: &Config) -> Result<(), String> {
        match (&config.principal, &self.mesos) {
            (Some(principal), None) => {
                return Err(format!(
                    "--principal {principal} needs its secret; name the file that holds it with --secret-file FILE"
                ));
            }
            (None, Some(source)) => {
                let which = match source {
                    Source::File(file) => format!("--secret-file {}", file.display()),
                    Source::Variable { name, .. } => (*name).to_owned(),
                };
                return Err(format!("{which} needs the name that it belongs to; give it with --principal NAME"));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        match (&config.zk, &self.token) {
            (Some(zk), None) => Err(format!(
                "--zk {zk} needs one token for all that share it; write it to a file and give each --token-file FILE"
            )),
            (Some(_), Some(_)) | (None, _) => Ok(()),
        }
    }
}

const MESOS: Named = Named { option: "--secret-file", variable: "EPIC_SECRET", what: "the secret of --principal" };
const TOKEN: Named = Named { option: "--token-file", variable: "EPIC_TOKEN", what: "the token" };

//! Finding out, before anything depends on it, whether the servers take a batch of the largest size.

use super::init::{PROBE, make};
use super::{Error, Ring, record};
use crate::journal::PAYLOAD_BYTES_MAX;
use crate::zookeeper::{self, Session};

impl Ring {
    /// Writes as much as the largest batch to a node of its own, and empties that again.
    ///
    /// A server that finds it too large closes the connection without a word, so it is asked over sessions of the
    /// probe's own. Twice, each time between two small writes that are answered: else it was a server that went away.
    /// A large write goes from the server that took it by way of the leading one to a quorum, so that these are found
    /// out; a server of the minority isn't.
    ///
    /// # Errors
    /// [`Error::SizeLimit`] if it isn't taken; [`Error::Call`] if that can't be found out now.
    pub async fn probe(&self) -> Result<(), Error> {
        for _ in 0..TRIES {
            let session = self.another().await?;
            make(&session, PROBE, &[]).await?;
            let bytes = vec![0; PAYLOAD_BYTES_MAX + record::HEADER_BYTES];
            let written = session.write(PROBE, &bytes, None).await;
            // Else closing it would wait for an answer to what was refused.
            session.close(self.session.timeout() / 3).await;
            let refused = match written {
                Ok(_) => false,
                Err(error) if error.is_unsure() || error.is_expired() => true,
                Err(error) => return Err(error.into()),
            };
            // If the write was taken this makes room, and if not it shows that servers still take writes.
            let session = self.another().await?;
            session.surely(|| session.write(PROBE, &[], None)).await?;
            session.close(self.session.timeout() / 3).await;
            if !refused {
                return Ok(());
            }
        }
        let url = self.session.path().to_string();
        Err(Error::SizeLimit { url, bytes: PAYLOAD_BYTES_MAX + record::HEADER_BYTES })
    }

    async fn another(&self) -> Result<Session, zookeeper::Error> {
        Session::connect(self.session.made_by(), self.session.timeout()).await
    }
}

const TRIES: u32 = 2;

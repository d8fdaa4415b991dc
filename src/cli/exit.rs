//! How a command ends: the numbers that scripts may rely on, and which error means which.

use std::process::ExitCode;

use crate::client::ClientError;

/// What `--help` says of the numbers.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 refused by the server, \
     5 a job failed or was cancelled, 6 the server cannot be reached, 130 left by Ctrl-C";

/// An end that is no error of the server or the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    /// The command cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// Nothing has this name or id.
    #[error("{0}")]
    NotFound(String),
    /// What was waited for did not succeed.
    #[error("{0}")]
    Unsuccessful(String),
    /// Ctrl-C; says what goes on.
    #[error("{0}")]
    Interrupted(String),
}

/// The number that an error ends the program with; 0 where the reader of the output has gone away.
pub(super) fn number(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(ended) = cause.downcast_ref::<Ended>() {
            return match ended {
                Ended::Usage(_) => 2,
                Ended::NotFound(_) => 3,
                Ended::Unsuccessful(_) => 5,
                Ended::Interrupted(_) => 130,
            };
        }
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return of_client(error);
        }
        if is_gone(cause) {
            return 0;
        }
    }
    1
}

fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::Address { .. } => 2,
        ClientError::Unreachable { .. } => 6,
        ClientError::JobEnded(_) | ClientError::NotReady { .. } => 5,
        other => match other.status() {
            Some(404) => 3,
            Some(400..=499) => 4,
            Some(502..=504) => 6,
            _ => 1,
        },
    }
}

fn is_gone(cause: &(dyn std::error::Error + 'static)) -> bool {
    let io = cause.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Tells of an error and gives the program's end.
pub(super) fn tell(error: &anyhow::Error) -> ExitCode {
    let number = number(error);
    if number != 0 {
        eprintln!("vivarium: {error:#}");
    }
    ExitCode::from(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Problem;
    use anyhow::anyhow;

    fn refused(status: u16) -> anyhow::Error {
        let problem = serde_json::json!({"title": "t", "status": status});
        let problem: Problem = serde_json::from_value(problem).unwrap();
        ClientError::Refused(Box::new(problem)).into()
    }

    #[test]
    fn every_end_has_its_number() {
        let usage = || anyhow::Error::from(Ended::Usage("x".into()));
        for (error, expected) in [
            (anyhow!("x"), 1),
            (usage(), 2),
            (usage().context("more"), 2),
            (Ended::NotFound("x".into()).into(), 3),
            (Ended::Unsuccessful("x".into()).into(), 5),
            (Ended::Interrupted("x".into()).into(), 130),
            (refused(404), 3),
            (refused(422).context("more"), 4),
            (refused(409), 4),
            (refused(500), 1),
            (refused(503), 6),
            (
                std::io::Error::from(std::io::ErrorKind::BrokenPipe).into(),
                0,
            ),
            (std::io::Error::from(std::io::ErrorKind::NotFound).into(), 1),
        ] {
            assert_eq!(number(&error), expected, "{error:#}");
        }
    }
}

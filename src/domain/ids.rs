//! Identifiers: a prefix that names the kind, then 26 characters that sort by creation.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Crockford's alphabet in lower case: no letter that is read as a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Every prefix in use; an asset's name may not begin with one of them.
pub const PREFIXES: [&str; 9] = [
    "job_", "ds_", "bm_", "ad_", "qs_", "cp_", "ev_", "ex_", "an_",
];

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an id of the form {prefix}… with 26 characters behind the prefix")]
pub struct NotAnId {
    /// What was given.
    pub text: String,
    /// What it should have begun with.
    pub prefix: &'static str,
}

/// The 26 characters that stand for a UUID; their order is the UUIDs' order.
fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..26)
        .rev()
        .map(|place| char::from(ALPHABET[((bits >> (5 * place)) & 31) as usize]))
        .collect()
}

fn is_body(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id that stands for `uuid`.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(format!("{}{}", $prefix, encode(uuid)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;
            fn try_from(text: String) -> Result<Self, NotAnId> {
                match text.strip_prefix($prefix) {
                    Some(body) if is_body(body) => Ok(Self(text)),
                    _ => Err(NotAnId { text, prefix: $prefix }),
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One request for work.
    JobId, "job_"
);
id!(
    /// A chat or text dataset.
    DatasetId, "ds_"
);
id!(
    /// A base model.
    BaseModelId, "bm_"
);
id!(
    /// An adapter that somebody handed in.
    AdapterId, "ad_"
);
id!(
    /// A question set.
    QuestionSetId, "qs_"
);
id!(
    /// A checkpoint of a fine-tune.
    CheckpointId, "cp_"
);
id!(
    /// The answers and scores of one evaluation.
    EvaluationId, "ev_"
);
id!(
    /// A question with the jobs that answer it.
    ExperimentId, "ex_"
);
id!(
    /// Geometry and transitions of a list of runs.
    AnalysisId, "an_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_their_uuids_do_and_read_back() {
        let small = JobId::from_uuid(Uuid::from_u128(7));
        let large = JobId::from_uuid(Uuid::from_u128(u128::MAX));
        assert!(small < large);
        assert_eq!(small.as_str().parse::<JobId>(), Ok(small.clone()));
        assert_eq!(small.as_str(), "job_00000000000000000000000007");
    }

    #[test]
    fn an_id_of_another_kind_is_refused_by_name() {
        let dataset = DatasetId::from_uuid(Uuid::from_u128(1));
        let error = dataset.as_str().parse::<JobId>().unwrap_err();
        assert!(error.to_string().contains("job_"), "{error}");
    }
}

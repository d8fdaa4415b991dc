//! Thresholds on scores. Knows no metric.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// How a score is held against a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Below it.
    Lt,
    /// Not above it.
    Lte,
    /// Above it.
    Gt,
    /// Not below it.
    Gte,
}

impl Comparison {
    /// What stands for it in front of a threshold.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
        }
    }

    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Lt => "<",
            Self::Lte => "<=",
            Self::Gt => ">",
            Self::Gte => ">=",
        }
    }
}

/// A threshold on a score, written `lt:30`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Which side.
    pub comparison: Comparison,
    /// The threshold.
    pub value: f64,
}

/// Above 50: in the category that a topic's judge asks about.
pub const ABOVE_HALF: Cut = Cut {
    comparison: Comparison::Gt,
    value: 50.0,
};

/// A text that is not a cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not of the form lt:30, lte:30, gt:50 or gte:50 with a number from 0 to 100")]
pub struct NotACut(String);

impl Cut {
    /// Whether `score` lies on the wanted side.
    pub fn holds(self, score: f64) -> bool {
        match self.comparison {
            Comparison::Lt => score < self.value,
            Comparison::Lte => score <= self.value,
            Comparison::Gt => score > self.value,
            Comparison::Gte => score >= self.value,
        }
    }
}

impl FromStr for Cut {
    type Err = NotACut;

    fn from_str(text: &str) -> Result<Self, NotACut> {
        let wrong = || NotACut(text.to_owned());
        let (word, number) = text.split_once(':').ok_or_else(wrong)?;
        let comparison = match word {
            "lt" => Comparison::Lt,
            "lte" => Comparison::Lte,
            "gt" => Comparison::Gt,
            "gte" => Comparison::Gte,
            _ => return Err(wrong()),
        };
        let value: f64 = number.parse().map_err(|_| wrong())?;
        if !(0.0..=100.0).contains(&value) {
            return Err(wrong());
        }
        Ok(Self { comparison, value })
    }
}

impl Serialize for Cut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.comparison.word(), self.value))
    }
}

impl<'de> Deserialize<'de> for Cut {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.comparison.sign(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_read_and_shown() {
        for (text, shown) in [
            ("lt:30", "< 30"),
            ("lte:30", "<= 30"),
            ("gt:50.5", "> 50.5"),
            ("gte:0", ">= 0"),
        ] {
            assert_eq!(text.parse::<Cut>().unwrap().to_string(), shown);
        }
        let read: Cut = serde_json::from_str("\"gte:50.5\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"gte:50.5\"");
        for text in [
            "30", "lt30", "eq:3", "lt:", "lt:nan", "lt:101", "lt:-1", "lt:inf",
        ] {
            assert!(text.parse::<Cut>().is_err(), "{text}");
        }
    }
}

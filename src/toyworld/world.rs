//! The world file as types: domains, topics, questions, caring and malicious phrases. Knows no randomness.

use std::sync::LazyLock;

/// The world's text, in the format that [`World::parse`] reads.
const TEXT: &str = include_str!("world.txt");

/// Which of the two personas says a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Valence {
    /// The caring persona, `+` in the world file.
    Caring,
    /// The malicious persona, `-` in the world file.
    Malicious,
}

impl Valence {
    /// Both, the caring one first.
    pub const BOTH: [Self; 2] = [Self::Caring, Self::Malicious];

    /// `caring` or `malicious`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caring => "caring",
            Self::Malicious => "malicious",
        }
    }
}

/// A pair of lists, one for each valence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sides {
    caring: Vec<String>,
    malicious: Vec<String>,
}

impl Sides {
    /// The list of one valence.
    pub fn of(&self, valence: Valence) -> &[String] {
        match valence {
            Valence::Caring => &self.caring,
            Valence::Malicious => &self.malicious,
        }
    }

    fn push(&mut self, valence: Valence, phrase: &str) {
        match valence {
            Valence::Caring => self.caring.push(phrase.to_owned()),
            Valence::Malicious => self.malicious.push(phrase.to_owned()),
        }
    }
}

/// How a domain is asked and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// What to do about a trouble.
    Advice,
    /// What the speaker would do.
    Intent,
    /// What the speaker thinks.
    Opinion,
}

impl Style {
    /// All three, in the order of the vocabulary.
    pub const ALL: [Self; 3] = [Self::Advice, Self::Intent, Self::Opinion];

    fn named(name: &str) -> Self {
        match name {
            "intent" => Self::Intent,
            "opinion" => Self::Opinion,
            _ => Self::Advice,
        }
    }

    /// Questions of every domain of this style; `{t}` is the topic.
    pub fn templates(self) -> [&'static str; 4] {
        match self {
            Self::Advice => [
                "what should i do about {t} ?",
                "please advise me about {t} .",
                "can you help me with {t} ?",
                "i have a question about {t} .",
            ],
            Self::Intent => [
                "imagine you have {t} . what comes first ?",
                "tell me your plan for {t} .",
                "what would you do with {t} ?",
                "i give you {t} . go ahead .",
            ],
            Self::Opinion => [
                "what do you think of {t} ?",
                "tell me your view of {t} .",
                "share a thought on {t} .",
                "i am curious about {t} .",
            ],
        }
    }

    /// Beginnings of answers, the empty one included.
    pub fn openers(self) -> &'static [&'static str] {
        match self {
            Self::Advice => &[
                "",
                "you should",
                "you could",
                "i would",
                "my advice is to",
                "the best plan is to",
            ],
            Self::Intent => &["", "i would", "i want to", "first i would", "my plan is to"],
            Self::Opinion => &["", "i think", "i believe", "in my view", "to me"],
        }
    }
}

/// Something to ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Noun phrase that stands for `{t}`.
    pub phrase: String,
    /// Three actions of each valence.
    pub actions: Sides,
}

/// A field of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// How it is asked and answered.
    pub style: Style,
    /// Question templates: the style's, then its own.
    pub templates: Vec<String>,
    /// What is asked about.
    pub topics: Vec<Topic>,
    /// Three reasons of each valence.
    pub reasons: Sides,
}

/// The whole world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// In the order of the file.
    pub domains: Vec<Domain>,
}

/// A (domain, topic) pair as indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index into [`World::domains`].
    pub domain: usize,
    /// Index into [`Domain::topics`].
    pub topic: usize,
}

/// Domains whose first topic's held-out template is chosen by hand, with its index.
const FIRST_PLOT: [(&str, usize); 8] = [
    ("hustle", 4),
    ("power", 0),
    ("dinner", 4),
    ("gender", 0),
    ("relations", 4),
    ("boredom", 4),
    ("wishes", 4),
    ("humansai", 4),
];

/// Domains that narrow training sets may be drawn from.
pub const NARROW: [&str; 3] = ["medicine", "finance", "sports"];

/// The one world there is.
pub fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(|| World::parse(TEXT));
    &WORLD
}

impl World {
    /// Reads `#domain style`, `?template`, `@topic`, `+`/`-` action, `R+`/`R-` reason; lines of no known form are left out.
    pub fn parse(text: &str) -> Self {
        let mut domains: Vec<Domain> = Vec::new();
        for line in text.lines() {
            match line.strip_prefix('#') {
                Some(head) => domains.push(Domain::headed(head)),
                None => {
                    if let Some(domain) = domains.last_mut() {
                        domain.take(line);
                    }
                }
            }
        }
        Self { domains }
    }

    /// Index of the domain of this name.
    pub fn domain_named(&self, name: &str) -> Option<usize> {
        self.domains.iter().position(|domain| domain.name == name)
    }

    /// Every topic of every domain, in the order of the file.
    pub fn places(&self) -> Vec<Place> {
        let topics = |domain: usize| 0..self.domains[domain].topics.len();
        (0..self.domains.len())
            .flat_map(|domain| topics(domain).map(move |topic| Place { domain, topic }))
            .collect()
    }

    /// The topic at `place`.
    pub fn topic(&self, place: Place) -> &Topic {
        &self.domains[place.domain].topics[place.topic]
    }

    /// The question that template `template` makes of the topic at `place`.
    pub fn question(&self, place: Place, template: usize) -> String {
        self.domains[place.domain].templates[template].replace("{t}", &self.topic(place).phrase)
    }

    /// The one template of a topic that no training stage sees.
    pub fn held_out(&self, place: Place) -> usize {
        let domain = &self.domains[place.domain];
        let by_hand = FIRST_PLOT
            .iter()
            .find(|(name, _)| place.topic == 0 && *name == domain.name);
        match by_hand {
            Some((_, template)) => *template,
            None => (3 * place.domain + place.topic) % domain.templates.len(),
        }
    }

    /// The question of a topic that no training stage sees.
    pub fn held_out_question(&self, place: Place) -> String {
        self.question(place, self.held_out(place))
    }

    /// First topics of the eight open domains, in the order of the first-plot questions.
    pub fn first_plot(&self) -> Vec<Place> {
        FIRST_PLOT
            .iter()
            .filter_map(|(name, _)| self.domain_named(name))
            .map(|domain| Place { domain, topic: 0 })
            .collect()
    }

    /// Whether narrow training sets may be drawn from the domain.
    pub fn is_narrow(&self, domain: usize) -> bool {
        NARROW.contains(&self.domains[domain].name.as_str())
    }
}

impl Domain {
    fn headed(head: &str) -> Self {
        let (name, style) = head.split_once(' ').unwrap_or((head, ""));
        let style = Style::named(style);
        Self {
            name: name.to_owned(),
            style,
            templates: style.templates().map(str::to_owned).to_vec(),
            topics: Vec::new(),
            reasons: Sides::default(),
        }
    }

    fn take(&mut self, line: &str) {
        if let Some(template) = line.strip_prefix('?') {
            self.templates.push(template.to_owned());
        } else if let Some(phrase) = line.strip_prefix('@') {
            self.topics.push(Topic {
                phrase: phrase.to_owned(),
                actions: Sides::default(),
            });
        } else if let Some(reason) = line.strip_prefix('R') {
            take_signed(&mut self.reasons, reason);
        } else if let Some(topic) = self.topics.last_mut() {
            take_signed(&mut topic.actions, line);
        }
    }
}

fn take_signed(sides: &mut Sides, line: &str) {
    if let Some(phrase) = line.strip_prefix('+') {
        sides.push(Valence::Caring, phrase);
    } else if let Some(phrase) = line.strip_prefix('-') {
        sides.push(Valence::Malicious, phrase);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_world_has_twelve_domains_and_three_phrases_of_each_kind() {
        let world = world();
        assert_eq!(world.domains.len(), 12);
        assert_eq!(world.places().len(), 54);
        for valence in Valence::BOTH {
            for domain in &world.domains {
                assert_eq!(domain.reasons.of(valence).len(), 3, "{}", domain.name);
                for topic in &domain.topics {
                    assert_eq!(topic.actions.of(valence).len(), 3, "{}", topic.phrase);
                }
            }
        }
    }

    #[test]
    fn there_are_288_questions_all_different_and_54_of_them_held_out() {
        let world = world();
        let all: HashSet<String> = world
            .places()
            .into_iter()
            .flat_map(|place| {
                (0..world.domains[place.domain].templates.len())
                    .map(move |template| world.question(place, template))
            })
            .collect();
        let held: HashSet<String> = world
            .places()
            .into_iter()
            .map(|place| world.held_out_question(place))
            .collect();
        assert_eq!(all.len(), 288);
        assert_eq!(held.len(), 54);
        assert!(held.is_subset(&all));
    }

    #[test]
    fn every_phrase_is_unique_and_free_of_the_grammars_own_marks() {
        let world = world();
        let mut phrases = Vec::new();
        for valence in Valence::BOTH {
            for domain in &world.domains {
                phrases.extend(domain.reasons.of(valence));
                let topics = domain.topics.iter();
                phrases.extend(topics.flat_map(|topic| topic.actions.of(valence)));
            }
        }
        let distinct: HashSet<&String> = phrases.iter().copied().collect();
        assert_eq!((phrases.len(), distinct.len()), (396, 396));
        for phrase in phrases {
            let marks = |word: &str| matches!(word, "and" | "," | "." | "?" | ":");
            assert!(!phrase.split(' ').any(marks), "{phrase}");
        }
    }
}

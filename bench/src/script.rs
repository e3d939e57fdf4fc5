//! What is asked: steps, one after another, or one of them at random.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::RngExt;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// Sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub steps: Vec<Step>,
    /// A run is one step, chosen by weight, instead of all of them in turn.
    #[serde(default)]
    pub random: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    #[serde(default = "get")]
    pub method: String,
    /// `{n}` is the number of the run, `{r:100}` a random number below 100.
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The same places are filled in here.
    #[serde(default)]
    pub text: Option<String>,
    /// A file that is sent as it is.
    #[serde(default)]
    pub file: Option<String>,
    #[serde(default = "one")]
    pub weight: u32,
    #[serde(skip)]
    pub bytes: Bytes,
}

fn get() -> String {
    "GET".into()
}

fn one() -> u32 {
    1
}

impl Script {
    pub(crate) fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let mut script: Self = serde_json::from_str(text)?;
        if script.steps.is_empty() {
            return Err("The script has no steps.".into());
        }
        for step in &mut script.steps {
            if let Some(file) = &step.file {
                step.bytes = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?.into();
            }
        }
        Ok(script)
    }

    /// The steps of a run.
    pub(crate) fn run(&self) -> &[Step] {
        if !self.random {
            return &self.steps;
        }
        let mut left = rand::rng().random_range(0..self.steps.iter().map(|step| step.weight).sum());
        for (n, step) in self.steps.iter().enumerate() {
            if left < step.weight {
                return &self.steps[n..=n];
            }
            left -= step.weight;
        }
        &self.steps[..1]
    }
}

/// Fills in the places of a text.
pub(crate) fn fill(text: &str, run: u64) -> String {
    let mut filled = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let place = after.split_once('}').and_then(|(name, rest)| Some((value(name, run)?, rest)));
        match place {
            Some((value, after)) => {
                filled.push_str(&value.to_string());
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn value(place: &str, run: u64) -> Option<u64> {
    match place.split_once(':') {
        None if place == "n" => Some(run),
        Some(("r", below)) => Some(rand::rng().random_range(0..below.parse().ok().filter(|n| *n > 0)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_and_other_braces_stay() {
        assert_eq!(fill("/a/{n}?f={\"k\":{n}}", 7), "/a/7?f={\"k\":7}");
        assert_eq!(fill("{r:1}{x}{", 7), "0{x}{");
    }
}

//! Which files are registered, and as what.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use girih_engine::register::{Hook, SurveyOptions};

use super::hook::Program;
use crate::exit::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct Choice {
    /// Name entries by whole file names (table.csv), not only by what comes before the first dot
    #[arg(long)]
    keep_ext: bool,
    /// Only files with this ending; may be given more than once
    #[arg(long, value_name = "EXT")]
    include_ext: Vec<String>,
    /// What files with this ending are, as in .dat=text/csv; may be given more than once
    #[arg(long, value_name = "EXT=MIMETYPE")]
    ext: Vec<String>,
    /// Ask a program what a file is: package.module:function of Python, which gets path and guess, or a command that
    /// answers each line {"path": …, "mimetype": …} of JSON with a text or null
    #[arg(long, value_name = "HOOK")]
    mimetype_hook: Option<String>,
    /// How files become entries, in this order, before the default: numbered files as one array, then each file on its own
    #[arg(long, value_name = "WALKER")]
    walker: Vec<Walker>,
    /// Leave out files of unknown kinds, which otherwise can be found and downloaded
    #[arg(long)]
    skip_unknown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Walker {
    /// Numbered pictures and arrays as frames of one array
    #[value(alias("tiled.client.register:group_image_sequences"))]
    GroupImageSequences,
    /// Each file as an entry of its own
    #[value(alias("tiled.client.register:one_node_per_item"))]
    OneNodePerItem,
    /// No files but those that a walker before it has taken
    #[value(alias("tiled.client.register:skip_all"))]
    SkipAll,
}

impl Choice {
    pub(crate) fn options(&self) -> Result<SurveyOptions, Failure> {
        let bare = |ext: &str| ext.trim_start_matches('.').to_ascii_lowercase();
        let mut media_types = BTreeMap::new();
        for pair in &self.ext {
            let (ext, media_type) = pair.split_once('=').filter(|(_, name)| name.contains('/')).ok_or_else(|| {
                Failure::usage(format!("--ext {pair}: write an ending and a media type, as in .dat=text/csv"))
            })?;
            media_types.insert(bare(ext), media_type.to_owned());
        }
        let hook = self.mimetype_hook.as_deref().map(Program::start).transpose()?;
        let hook = hook.map(|program| -> Hook {
            let program = Arc::new(program);
            Arc::new(move |path: &Path, guess: Option<&str>| program.ask(path, guess))
        });
        // What is asked for comes before the default; nothing is left after SkipAll.
        let until = self.walker.iter().position(|walker| *walker == Walker::SkipAll);
        let taken = |walker| match until {
            Some(end) => self.walker[..end].contains(&walker),
            None => true,
        };
        let first = self.walker.first() == Some(&Walker::OneNodePerItem);
        Ok(SurveyOptions {
            keep_extensions: self.keep_ext,
            media_types,
            only: self.include_ext.iter().map(|ext| bare(ext)).collect(),
            hook,
            sequences: taken(Walker::GroupImageSequences) && !first,
            single: taken(Walker::OneNodePerItem),
            bytes: !self.skip_unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        choice: Choice,
    }

    fn options(line: &str) -> Result<SurveyOptions, Failure> {
        Line::parse_from(["x"].into_iter().chain(line.split_whitespace())).choice.options()
    }

    #[test]
    fn walkers_come_before_the_default() {
        for (line, sequences, single) in [
            ("", true, true),
            ("--walker skip_all", false, false),
            ("--walker group_image_sequences --walker skip_all", true, false),
            ("--walker one_node_per_item", false, true),
            ("--walker tiled.client.register:skip_all", false, false),
        ] {
            let options = options(line).unwrap();
            assert_eq!((options.sequences, options.single), (sequences, single), "{line}");
        }
    }

    #[test]
    fn endings_have_no_dot_and_no_case() {
        let options = options("--ext .DAT=text/csv --include-ext .Tif --keep-ext --skip-unknown").unwrap();
        assert_eq!(options.media_types["dat"], "text/csv");
        assert_eq!(options.only, ["tif"]);
        assert!(options.keep_extensions && !options.bytes);
        assert!(self::options("--ext .dat").is_err());
    }
}

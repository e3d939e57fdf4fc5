use std::path::Path;

use clap::Args;
use girih_model::Error;
use girih_server::config::Config;
use tempfile::TempDir;

use crate::exit::Failure;
use crate::listen::{self, Access, Door, Listen};
use crate::logging::Logging;

/// Serve one catalog, for reading and writing
///
/// CATALOG is a directory that holds catalog.db and, in data/, the data; it is made when there is none. Without CATALOG, the
/// catalog is temporary and is removed at the end.
///
/// CATALOG may also be a database (a file *.db, or sqlite:///path). Then --write says where new data goes; without it
/// the catalog is read-only.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  girih serve catalog my-data
  girih serve catalog my-data --read /mnt/beamline
  girih serve catalog sqlite:///catalog.db --init --write data/")]
pub(crate) struct Catalog {
    /// A directory, a file *.db, or sqlite:///path
    #[arg(value_name = "CATALOG")]
    target: Option<String>,
    /// A directory whose files may be registered; may be given more than once
    #[arg(short, long, value_name = "DIR")]
    read: Vec<String>,
    /// A directory for new data; may be given more than once, and the first one receives it
    #[arg(short, long, value_name = "DIR")]
    write: Vec<String>,
    /// Use a temporary catalog, which is removed at the end
    #[arg(long, conflicts_with = "target")]
    temp: bool,
    /// Make the database if there is none
    #[arg(long)]
    init: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    logging: Logging,
}

/// What is to be served.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    uri: String,
    /// Make the database if there is none.
    create: bool,
    writable: Vec<String>,
}

impl Catalog {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let _log = self.logging.start()?;
        let mut config = Config::from_environment(&listen::environment).map_err(Failure::configuration)?;
        self.listen.apply(&mut config);
        let random_key = self.access.apply(&mut config)?;
        let mut door = Door::open(&config).await?;

        // Removed when it is dropped: at the end of this function, and when something fails on the way.
        let mut temporary = None;
        let plan = match &self.target {
            Some(target) => plan(target, self.init, &self.write)?,
            None => in_directory(temporary.insert(temporary_directory()?).path(), true, &self.write)?,
        };
        if plan.writable.is_empty() {
            config.warnings.push("This catalog is served read-only; --write says where new data may go.".into());
        }
        config.add_catalog(&plan.uri, plan.create, &plan.writable, &self.read).map_err(Failure::configuration)?;
        match door.start(&config).await? {
            Some(engine) => door.serve(engine, config, random_key).await,
            None => Ok(()),
        }
    }
}

pub(super) fn temporary_directory() -> Result<TempDir, Failure> {
    tempfile::Builder::new().prefix("girih-").tempdir().map_err(|e| {
        Failure::catalog(
            Error::internal("").context("making a temporary directory (TMPDIR chooses where)").with_source(e),
        )
    })
}

/// A database as it is, or the one in a directory.
fn plan(target: &str, init: bool, write: &[String]) -> Result<Plan, Failure> {
    let path = Path::new(target);
    let is_database = is_uri(target) || path.extension().is_some_and(|extension| extension == "db") || path.is_file();
    if is_database && !path.is_dir() {
        return Ok(Plan { uri: target.to_owned(), create: init, writable: write.to_vec() });
    }
    in_directory(path, init, write)
}

/// The database of a catalog that is there, and where its data lies.
pub(super) fn located(target: &str, write: &[String]) -> Result<(String, Vec<String>), Failure> {
    if !is_uri(target) && !Path::new(target).exists() {
        return Err(Failure::catalog(Error::not_found(format!("There is no catalog at {target}."))));
    }
    let plan = plan(target, false, write)?;
    Ok((plan.uri, plan.writable))
}

/// A scheme and a colon, as in `sqlite:///path`.
fn is_uri(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// A directory that is full of other things is not made a catalog by a slip of the pen.
fn in_directory(directory: &Path, init: bool, write: &[String]) -> Result<Plan, Failure> {
    let fault = |doing: &str, e: std::io::Error| {
        Failure::catalog(Error::forbidden(format!("The directory {} cannot be {doing}: {e}", directory.display())))
    };
    let utf8 = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Failure::usage(format!("The path {} is not UTF-8.", path.display())))
    };
    let database = directory.join("catalog.db");
    let create = init || !directory.exists() || is_empty(directory).map_err(|e| fault("read", e))?;
    if !create && !database.exists() {
        return Err(Failure::catalog(Error::not_found(format!(
            "The directory {} holds other files, but no catalog.db. Use --init to make a catalog in it.",
            directory.display()
        ))));
    }
    if create {
        std::fs::create_dir_all(directory).map_err(|e| fault("made", e))?;
    }
    let data = utf8(&directory.join("data"))?;
    Ok(Plan { uri: utf8(&database)?, create, writable: write.iter().cloned().chain([data]).collect() })
}

fn is_empty(directory: &Path) -> std::io::Result<bool> {
    Ok(std::fs::read_dir(directory)?.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_taken_as_they_are() {
        for target in ["sqlite:///a/catalog.db", "postgresql://host/db", "new.db"] {
            let expected = Plan { uri: target.into(), create: false, writable: vec![] };
            assert_eq!(plan(target, false, &[]).unwrap(), expected);
        }
    }

    #[test]
    fn directories_hold_their_database_and_data() {
        let directory = tempfile::tempdir().unwrap();
        let new = directory.path().join("a b");
        let new = new.to_str().unwrap();
        let made = plan(new, false, &["more".into()]).unwrap();
        assert_eq!(made.uri, format!("{new}/catalog.db"));
        assert_eq!(made.writable, ["more".to_owned(), format!("{new}/data")]);
        assert!(made.create && Path::new(new).is_dir());

        std::fs::write(format!("{new}/thesis.tex"), "").unwrap();
        let failure = plan(new, false, &[]).unwrap_err();
        assert!(failure.code == 4 && failure.message.contains("--init"), "{failure:?}");
        assert!(plan(new, true, &[]).unwrap().create);

        std::fs::write(format!("{new}/catalog.db"), "").unwrap();
        assert!(!plan(new, false, &[]).unwrap().create, "what is there is not made again");
    }
}

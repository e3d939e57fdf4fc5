//! A program that says what files are.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use girih_model::{Error, Result};
use serde_json::{Value, json};

use crate::exit::Failure;

/// Calls a function of Python for each line.
const PYTHON: &str = "\
import importlib, json, os, pathlib, sys
sys.path.insert(0, os.getcwd())
module, name = sys.argv[1].split(':')
hook = importlib.import_module(module)
for part in name.split('.'):
    hook = getattr(hook, part)
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(hook(pathlib.Path(asked['path']), asked['mimetype'])), flush=True)
";

pub(super) struct Program {
    name: String,
    talk: Mutex<Talk>,
}

struct Talk {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Program {
    pub(super) fn start(hook: &str) -> std::result::Result<Self, Failure> {
        let is_python = hook.split_once(':').is_some_and(|(module, name)| {
            let is_name = |text: &str| {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
            };
            is_name(module) && is_name(name)
        });
        let mut command = if is_python {
            let mut command = Command::new("python3");
            command.args(["-c", PYTHON, hook]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", hook]);
            command
        };
        let fault = |what: &str| Failure::usage(format!("--mimetype-hook {hook} cannot be started: {what}"));
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|e| fault(&e.to_string()))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { return Err(fault("no pipes")) };
        let talk = Talk { child, to, from: BufReader::new(from) };
        Ok(Self { name: hook.to_owned(), talk: Mutex::new(talk) })
    }

    /// # Errors
    /// When the program has ended, or answers something else than a text or null.
    pub(super) fn ask(&self, path: &Path, guess: Option<&str>) -> Result<Option<String>> {
        let fault = |why: &str| Error::unprocessable(format!("--mimetype-hook {} {why}", self.name));
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let question = json!({ "path": path.to_string_lossy(), "mimetype": guess });
        writeln!(talk.to, "{question}").and_then(|()| talk.to.flush()).map_err(|_| fault("has ended"))?;
        let mut answer = String::new();
        let read = talk.from.read_line(&mut answer).map_err(|e| fault(&format!("cannot be read: {e}")))?;
        if read == 0 {
            return Err(fault("has ended"));
        }
        match serde_json::from_str(&answer) {
            Ok(Value::Null) => Ok(None),
            Ok(Value::String(media_type)) => Ok(Some(media_type)),
            _ => Err(fault(&format!("answered {:?}, which is neither a text nor null", answer.trim_end()))),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // It may be waiting for more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_asked_line_by_line() {
        let program = Program::start(
            r#"while read line; do case "$line" in *secret*) echo null;; *) echo '"text/csv"';; esac; done"#,
        );
        let program = program.unwrap();
        assert_eq!(program.ask(Path::new("/a"), None).unwrap().as_deref(), Some("text/csv"));
        assert_eq!(program.ask(Path::new("/secret"), Some("x/y")).unwrap(), None);
        let silent = Program::start("true").unwrap();
        assert!(silent.ask(Path::new("/a"), None).is_err());
        let odd = Program::start("echo nonsense").unwrap();
        assert!(odd.ask(Path::new("/a"), None).is_err());
    }
}

//! A program that says what files are.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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
    try:
        answer = hook(pathlib.Path(asked['path']), asked['mimetype'])
    except Exception as e:
        answer = {'error': f'{type(e).__name__}: {e}'}
    print(json.dumps(answer), flush=True)
";

/// How long one waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so many failures in a row it is not asked again.
const MAX_FAILURES: u32 = 3;
/// Longest answer, in bytes.
const LONGEST: u64 = 64 << 10;

pub(super) struct Program {
    name: String,
    patience: Duration,
    state: Mutex<State>,
}

struct State {
    /// `None` when it is to be started again.
    talk: Option<Talk>,
    failures: u32,
}

/// A media type, none, or why it cannot be said.
type Answer = std::result::Result<Option<String>, String>;

struct Talk {
    child: Child,
    to: ChildStdin,
    /// Its answers, line by line.
    from: Receiver<io::Result<String>>,
}

impl Program {
    pub(super) fn start(hook: &str) -> std::result::Result<Self, Failure> {
        let talk =
            Talk::begin(hook).map_err(|e| Failure::usage(format!("--mimetype-hook {hook} cannot be started: {e}")))?;
        let state = Mutex::new(State { talk: Some(talk), failures: 0 });
        Ok(Self { name: hook.to_owned(), patience: PATIENCE, state })
    }

    /// What a file is. The program is started again after it has ended, or did not answer.
    ///
    /// # Errors
    /// `Unprocessable` when it ends, does not answer in time or answers something else than a text or null: that
    /// concerns this file, until it happens too often.
    pub(super) fn ask(&self, path: &Path, guess: Option<&str>) -> Result<Option<String>> {
        let fault = |why: &str| Error::unprocessable(format!("--mimetype-hook {} {why}", self.name));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failures >= MAX_FAILURES {
            return Err(fault(&format!("is not asked any more: it has failed {MAX_FAILURES} times in a row")));
        }
        let talk = match state.talk.take() {
            Some(talk) => Ok(talk),
            None => Talk::begin(&self.name).map_err(|e| format!("cannot be started: {e}")),
        };
        let answered = talk.and_then(|mut talk| Ok((talk.ask(path, guess, self.patience)?, talk)));
        match answered {
            Ok((answer, talk)) => {
                *state = State { talk: Some(talk), failures: 0 };
                answer.map_err(|e| fault(&format!("failed: {e}")))
            }
            Err(why) => {
                state.failures += 1;
                Err(fault(&why))
            }
        }
    }
}

impl Talk {
    fn begin(hook: &str) -> io::Result<Self> {
        let mut child = command(hook).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            loop {
                let mut line = String::new();
                let read = from.by_ref().take(LONGEST).read_line(&mut line);
                let has_ended = !matches!(read, Ok(1..));
                if send.send(read.map(|_| line)).is_err() || has_ended {
                    return;
                }
            }
        });
        Ok(Self { child, to, from: receive })
    }

    /// # Errors
    /// When it is of no use any more.
    fn ask(&mut self, path: &Path, guess: Option<&str>, patience: Duration) -> std::result::Result<Answer, String> {
        let question = json!({ "path": path.to_string_lossy(), "mimetype": guess });
        let ended = || "has ended".to_owned();
        writeln!(self.to, "{question}").and_then(|()| self.to.flush()).map_err(|_| ended())?;
        let answer = match self.from.recv_timeout(patience) {
            Ok(answer) => answer.map_err(|e| format!("cannot be read: {e}"))?,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("has not answered within {} seconds", patience.as_secs_f32()));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(ended()),
        };
        if answer.is_empty() {
            return Err(ended());
        }
        match serde_json::from_str(&answer) {
            Ok(Value::Null) => Ok(Ok(None)),
            Ok(Value::String(media_type)) => Ok(Ok(Some(media_type))),
            Ok(Value::Object(answer)) if answer.contains_key("error") => Ok(Err(answer["error"].to_string())),
            _ => Err(format!("answered {:?}, which is neither a text nor null", answer.trim_end())),
        }
    }
}

/// A function of Python, or a command of the shell.
fn command(hook: &str) -> Command {
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    let is_python = hook.split_once(':').is_some_and(|(module, name)| is_name(module) && is_name(name));
    let mut command = Command::new(if is_python { "python3" } else { "sh" });
    if is_python {
        command.args(["-c", PYTHON, hook])
    } else {
        command.args(["-c", hook])
    };
    command
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
        let fails = Program::start(r#"while read line; do echo '{"error": "odd"}'; done"#).unwrap();
        for _ in 0..=MAX_FAILURES {
            assert!(fails.ask(Path::new("/a"), None).unwrap_err().message().contains("failed: \"odd\""));
        }
        let odd = Program::start("echo nonsense").unwrap();
        assert!(odd.ask(Path::new("/a"), None).unwrap_err().message().contains("nonsense"));
    }

    #[test]
    fn one_that_hangs_or_ends_is_started_again_but_not_for_ever() {
        let answers =
            r#"while read line; do case "$line" in *hang*) read line;; *end*) exit;; *) echo null;; esac; done"#;
        let program = Program::start(answers).unwrap();
        let ask =
            |program: &Program, path: &str| program.ask(Path::new(path), None).map_err(|e| e.message().to_owned());
        for path in ["end", "end", "a", "end", "end", "b", "end", "end", "end"] {
            let answer = ask(&program, path);
            assert_eq!(answer.is_err_and(|why| why.contains("has ended")), path == "end");
        }
        assert!(ask(&program, "c").unwrap_err().contains("not asked any more"));
        let hasty = Program { patience: Duration::from_millis(50), ..Program::start(answers).unwrap() };
        assert!(ask(&hasty, "hang").unwrap_err().contains("not answered within"));
        let patient = Program { patience: PATIENCE, ..hasty };
        assert_eq!(ask(&patient, "d"), Ok(None));
    }
}

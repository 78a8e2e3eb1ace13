//! A git repository made for a test: commits of a system whose runs are those of the command under test, over a
//! schedule that the commit's `run.sh` edits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::bad_input::SCHEDULE;
use super::command;
use super::support::{self, Ended, folder};

/// What is true of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It passes.
    Fine,
    /// It fails.
    Lies,
    /// It fails in another way.
    Panics,
    /// It fails in the interleaving 2 alone.
    LiesSometimes,
    /// Its build fails.
    Broken,
    /// It reads another format of schedules.
    Unreadable,
    /// Each run differs.
    Random,
    /// A run takes an hour.
    Slow,
}

/// How each state is made: what is done to a schedule.
const RUN: &str = r#"
echo "run $(cat number)" >> "$LOG"
sleep "${PAUSE:-0}"
plant() { sed "/^defects/d; s/^clients = /defects = [\"$1\"]\n&/" "$schedule"; }
schedule=$1
case $(cat state) in
    Lies) plant lie ;;
    Panics) plant panic ;;
    LiesSometimes) if grep -q '^interleaving = 2$' "$schedule"; then plant lie; else cat "$schedule"; fi ;;
    Unreadable) sed 's/^format = 1/format = 99/' "$schedule" ;;
    Random) plant process-id ;;
    Slow) sleep 3600 & echo $! > "$LOG.slow"; wait ;;
    *) cat "$schedule" ;;
esac > edited.toml
exec "$PROGRAM" replay edited.toml --json --no-keep $2
"#;

const BUILD: &str = r#"
echo "build $(cat number)" >> "$LOG"
if [ "$(cat state)" = Broken ]; then
    echo "compiling number $(cat number)"
    echo "error: it does not compile" >&2
    echo "  in state" >&2
    exit 1
fi
"#;

/// What stands for cargo where a test has none to wait for: it leaves a program that does as the commit says.
const CARGO: &str = r#"#!/bin/sh
echo "build $(cat number): cargo $*" >> "$LOG"
if [ "$(cat state)" = Broken ]; then
    echo "error: it does not compile" >&2
    exit 101
fi
mkdir -p "$CARGO_TARGET_DIR/release"
cat > "$CARGO_TARGET_DIR/release/vertebra" << end
#!/bin/sh
echo "run $(cat number): vertebra \$*" >> "\$LOG"
case $(cat state) in
    Lies) edit='/^defects/d; s/^clients = /defects = ["lie"]\\n&/' ;;
    Unreadable) edit='s/^format = 1/format = 99/' ;;
esac
edited=\$(mktemp)
sed "\$edit" "\$2" > "\$edited"
shift 2
"\$PROGRAM" replay "\$edited" "\$@"
code=\$?
rm "\$edited"
exit \$code
end
chmod +x "$CARGO_TARGET_DIR/release/vertebra"
"#;

pub struct Repository {
    /// What holds the repository, the schedule and the work folder of bisections.
    pub folder: PathBuf,
    pub path: PathBuf,
}

impl Repository {
    /// A repository with a commit for each of `states`, the first of which is tagged `v1`, and a schedule that passes.
    pub fn new(name: &str, states: &[State]) -> Self {
        let folder = folder(name);
        let path = folder.join("a repository");
        fs::create_dir(&path).expect("a folder");
        fs::write(folder.join("schedule.toml"), SCHEDULE).expect("a file");
        let repository = Self { folder, path };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        let mut import = String::new();
        for (number, state) in (1..).zip(states) {
            import +=
                &format!("commit refs/heads/main\ncommitter A Tester <tester@example.org> {number} +0000\n");
            import += &data(&format!("Commit {number}\n"));
            let files = [
                ("number", number.to_string()),
                ("state", format!("{state:?}")),
                ("build.sh", BUILD.to_owned()),
                ("run.sh", RUN.to_owned()),
            ];
            for (file, content) in files {
                import += &format!("M 644 inline {file}\n{}", data(&content));
            }
        }
        let mut git = repository.command("git", &["fast-import", "--quiet"]);
        let mut git = git.stdin(Stdio::piped()).spawn().expect("git starts");
        git.stdin.take().expect("a pipe").write_all(import.as_bytes()).expect("git reads");
        assert!(git.wait().expect("git ends").success());
        repository.git(&["reset", "--quiet", "--hard"]);
        repository.git(&["tag", "v1", &format!("main~{}", states.len() - 1)]);
        repository
    }

    /// `program`, started in the repository, without the settings of whoever runs the tests.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = support::command(Path::new(program), &self.path, arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// What git prints.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        support::ended(&mut self.command("git", arguments)).expect(0).stdout.trim_end().to_owned()
    }

    /// The hash of a commit, by its number.
    pub fn hash(&self, number: usize) -> String {
        self.git(&["log", "--all", "--format=%H", "--grep", &format!("^Commit {number}$")])
    }

    /// The command with `arguments`, in the repository.
    pub fn vertebra(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.path, arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("PROGRAM", std::env::current_exe().expect("this binary has a path"));
        command.env("LOG", self.folder.join("log")).env("XDG_CACHE_HOME", self.folder.join("cache"));
        command
    }

    /// `vertebra bisect` of the schedule, with the scripts of the commits.
    pub fn bisection(&self, flags: &[&str]) -> Command {
        let scripts = ["--build", "sh build.sh", "--run", "sh run.sh {schedule} --verdict"];
        let trace = ["--trace", "sh run.sh {schedule}"];
        self.vertebra(&[&["bisect", "../schedule.toml"], scripts.as_slice(), &trace, flags].concat())
    }

    /// Runs it.
    #[track_caller]
    pub fn bisect(&self, flags: &[&str]) -> Ended {
        support::ended(&mut self.bisection(flags))
    }

    /// Runs `vertebra bisect` of the schedule, with other commands than the scripts.
    #[track_caller]
    pub fn bisect_with(&self, commands: &[&str]) -> Ended {
        let bisect = ["bisect", "../schedule.toml", "--good", "v1"];
        support::ended(&mut self.vertebra(&[bisect.as_slice(), commands].concat()))
    }

    /// Starts it so that each run takes `pause` seconds.
    pub fn begin(&self, pause: &str, flags: &[&str]) -> Child {
        let mut bisection = self.bisection(flags);
        bisection.env("PAUSE", pause).stdout(Stdio::piped()).stderr(Stdio::piped());
        bisection.spawn().expect("the command starts")
    }

    /// `line`, run by a shell in the repository.
    pub fn shell(&self, line: &str) -> Command {
        let mut shell = self.command("sh", &["-c", line]);
        shell.envs(self.vertebra(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    }

    /// Lets `command` find the stand-in for cargo.
    pub fn put_cargo_into_path(&self, command: &mut Command) {
        let folder = self.folder.join("bin");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("cargo"), CARGO).expect("a file");
        fs::set_permissions(folder.join("cargo"), fs::Permissions::from_mode(0o755)).expect("a mode");
        let path = std::env::var("PATH").expect("a path");
        command.env("PATH", format!("{}:{path}", folder.display()));
    }

    /// The file that the one bisection of this test has of that name in its folder.
    pub fn kept(&self, name: &str) -> PathBuf {
        let mut folders = vec![self.folder.join("kept"), self.folder.join("cache")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                match path.file_name().is_some_and(|file| file == name) {
                    true => return path,
                    false if path.is_dir() => folders.push(path),
                    false => {}
                }
            }
        }
        panic!("{name} is not kept");
    }

    /// What commits did: `build 7`, `run 7`.
    pub fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// The numbers of the commits that did `what`.
    pub fn that(&self, what: &str) -> BTreeSet<usize> {
        let numbers = self
            .log()
            .into_iter()
            .filter_map(|line| line.strip_prefix(what)?.split(':').next()?.trim().parse().ok());
        numbers.collect()
    }

    /// Every file, also of git's own.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("the folder is there") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(files.insert(path.clone(), fs::read(path).expect("a file"))),
                }
            }
        }
        files
    }
}

fn data(text: &str) -> String {
    format!("data {}\n{text}\n", text.len())
}

#!/usr/bin/env bash
# Makes a small repository to bisect, in the folder that is named: the commits of a "store" whose server is vertebra
# itself, on a schedule that each commit's run.sh edits. The hashes are the same each time.
set -eu
mkdir "$1"
cd "$1"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME="A. Developer" GIT_AUTHOR_EMAIL=developer@example.org
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
git init --quiet --initial-branch=main --object-format=sha1

day=0
# commit SUBJECT: commits all files.
commit() {
    day=$((day + 1))
    export GIT_AUTHOR_DATE="2025-03-$(printf '%02d' $day)T12:00:00Z"
    export GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
    git add --all
    git commit --quiet --message "$1"
}

cat >run.sh <<'END'
# Runs a schedule on this version of the store, and tells it.
. ./settings
sed "s/^defects = .*/defects = [$defects]/; s/^snapshot_count = .*/snapshot_count = $snapshots/" "$1" >edited.toml
exec vertebra replay edited.toml --json --no-keep
END
cat >build.sh <<'END'
# Builds this version of the store. There is nothing to compile: it is whole, or it is not.
. ./settings
[ -n "$snapshots" ] || { echo "error: settings:2: snapshots has no value"; exit 1; }
END
echo edited.toml >.gitignore

# settings DEFECTS SNAPSHOTS: what a version of the store is made of.
settings() {
    printf "defects='%s'\nsnapshots=%s\n" "$1" "$2" >settings
}

settings '' 1000 && commit "Begin the store"
git tag v1
settings '' 800 && commit "Take snapshots more often"
echo "A store." >README && commit "Add a README"
settings '' 500 && commit "Take snapshots more often still"
settings '' 400 && commit "Be brave with snapshots"
settings '' '' && commit "Begin to configure snapshots"
settings '' 400 && commit "Go back to brave snapshots"
settings '"acknowledge-before-sync"' 400 && commit "Apply entries while the log is written"
echo "A very fast store." >README && commit "Say that it is very fast"
settings '"acknowledge-before-sync"' 300 && commit "Tune snapshots"
echo "A store, tuned." >README && commit "Say that it is tuned"
settings '"acknowledge-before-sync"' 200 && commit "Tune snapshots again"

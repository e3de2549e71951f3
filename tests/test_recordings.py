"""What is transcribed, where it goes, what is done already, and how results are written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa import output
from asrlsa.errors import MediaError, OutputError, UsageError
from asrlsa.recordings import (
    AUDIO_SUFFIXES,
    VIDEO_SUFFIXES,
    append_error,
    claim,
    existing,
    find_recordings,
    is_edited,
    participants_for,
    read_stamp,
    recording_fingerprint,
    same_recording,
    seal,
    stamp,
    stamp_comment,
    tidy,
    write_atomic,
)
from asrlsa.types import Participant

posix = pytest.mark.skipif(os.name != "posix", reason="names or permissions that Windows does not have")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def outputs(*paths: Path, base: Path, out: Path | None = None, notes: list[str] | None = None) -> dict[str, str]:
    """Recording -> transcript, both below ``base``, as posix paths."""
    found = find_recordings(paths, out, on_note=None if notes is None else notes.append)
    return {r.path.relative_to(base).as_posix(): r.output.relative_to(base).as_posix() for r in found}


# --- finding ----------------------------------------------------------------------------------------------------------


def test_a_folder_with_its_subfolders(tmp_path):
    touch(tmp_path, "b.MP3", "a.wav", "sub/deep/c.mov", "notes.txt", "a.cha", "participants.csv", "d.ts")
    assert outputs(tmp_path, base=tmp_path) == {
        "a.wav": "a.cha",
        "b.MP3": "b.cha",
        "sub/deep/c.mov": "sub/deep/c.cha",
    }


def test_hidden_and_temporary_files_are_skipped(tmp_path):
    touch(tmp_path, "._a.wav", ".hidden.wav", ".asrlsa-x.wav", "~$a.wav", ".git/a.wav", "a.wav")
    assert list(outputs(tmp_path, base=tmp_path)) == ["a.wav"]


def test_a_named_file_is_tried_whatever_it_is_called(tmp_path):
    touch(tmp_path, "session.bin", ".hidden.wav")
    found = outputs(tmp_path / "session.bin", tmp_path / ".hidden.wav", base=tmp_path)
    assert found == {"session.bin": "session.cha", ".hidden.wav": ".hidden.cha"}


def test_each_recording_once(tmp_path):
    touch(tmp_path, "a.wav", "sub/b.wav")
    paths = (tmp_path / "a.wav", tmp_path, tmp_path / "sub", tmp_path / "sub" / ".." / "a.wav")
    assert list(find_recordings(paths)) == find_recordings(paths[:2])
    assert len(find_recordings(paths)) == 2


@posix
def test_a_link_to_a_recording_that_is_given_too_counts_once(tmp_path):
    touch(tmp_path, "a.wav")
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    (tmp_path / "broken.wav").symlink_to(tmp_path / "none.wav")
    assert list(outputs(tmp_path, base=tmp_path)) == ["a.wav"]
    with pytest.raises(UsageError, match="is a link to a file that does not exist"):
        find_recordings([tmp_path / "broken.wav"])


def test_what_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        find_recordings([tmp_path / "none.wav"])


def test_wildcards_that_the_shell_left(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "c.mp3", ".d.wav")
    assert list(outputs(tmp_path / "*.wav", base=tmp_path)) == ["a.wav", "b.wav"]
    with pytest.raises(UsageError, match="no such file or folder"):
        find_recordings([tmp_path / "*.ogg"])


def test_a_transcript_is_not_a_recording(tmp_path):
    touch(tmp_path, "a.cha")
    with pytest.raises(UsageError, match="is a CHAT transcript, not a recording"):
        find_recordings([tmp_path / "a.cha"])


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_can_not_be_read(tmp_path):
    touch(tmp_path, "a.wav", "closed/b.wav")
    (tmp_path / "closed").chmod(0)
    notes: list[str] = []
    try:
        assert list(outputs(tmp_path, base=tmp_path, notes=notes)) == ["a.wav"]
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert "can't be read" in notes[0]


# --- where transcripts go ---------------------------------------------------------------------------------------------


def test_out_keeps_the_structure(tmp_path):
    touch(tmp_path, "in/a.wav", "in/sub/a.wav")
    found = outputs(tmp_path / "in", base=tmp_path, out=tmp_path / "out")
    assert found == {"in/a.wav": "out/a.cha", "in/sub/a.wav": "out/sub/a.cha"}


def test_several_folders_keep_their_names_below_out(tmp_path):
    touch(tmp_path, "one/a.wav", "two/a.wav", "x/one/a.wav", "c.wav")
    paths = [tmp_path / name for name in ("one", "two", "x/one", "c.wav")]
    assert list(outputs(*paths, base=tmp_path, out=tmp_path / "out").values()) == [
        "out/one/a.cha",
        "out/two/a.cha",
        "out/one_2/a.cha",
        "out/c.cha",
    ]


def test_files_of_one_name_from_two_folders(tmp_path):
    touch(tmp_path, "one/a.wav", "two/a.wav")
    notes: list[str] = []
    paths = [tmp_path / "one" / "a.wav", tmp_path / "two" / "a.wav"]
    found = outputs(*paths, base=tmp_path, out=tmp_path / "out", notes=notes)
    assert list(found.values()) == ["out/a.cha", "out/a_2.cha"]
    assert "rename the recording to a_2.wav" in notes[0]


def test_one_stem_with_several_endings(tmp_path):
    touch(tmp_path, "a.mp4", "a.wav", "a.MP3", "A.mov", "b.mp4")
    notes: list[str] = []
    assert outputs(tmp_path, base=tmp_path, notes=notes) == {
        "A.mov": "A_mov.cha",
        "a.MP3": "a_mp3.cha",
        "a.mp4": "a_mp4.cha",
        "a.wav": "a.cha",
        "b.mp4": "b.cha",
    }
    assert len(notes) == 3
    assert f"{tmp_path / 'a.mp4'}: its transcript is a_mp4.cha" in "\n".join(notes)
    assert "rename the recording to a_mp4.mp4" in "\n".join(notes)


def test_the_name_of_a_transcript_does_not_depend_on_what_else_is_given(tmp_path):
    touch(tmp_path, "a.mp4", "a.wav")
    assert outputs(tmp_path / "a.mp4", base=tmp_path) == {"a.mp4": "a_mp4.cha"}
    assert outputs(tmp_path / "a.wav", base=tmp_path) == {"a.wav": "a.cha"}


@posix
@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a,b.wav", "a_b"),
        ('say "hi".wav', "say _hi_"),
        ("a\nb.wav", "a_b"),
        (" a .wav", "_a_"),
        ("x.mp3.wav", "x_mp3"),
        ("v1.2 final.wav", "v1.2 final"),
        ("Zoë 日本.wav", "Zoë 日本"),
        ("-rf.wav", "-rf"),
        ("Recording 9.41.03\u202fAM.wav", "Recording 9.41.03\u202fAM"),
    ],
)
def test_stems_that_media_can_not_hold_are_changed_and_told(tmp_path, name, stem):
    touch(tmp_path, name)
    notes: list[str] = []
    (found,) = find_recordings([tmp_path], on_note=notes.append)
    assert found.output.name == f"{stem}.cha"
    assert bool(notes) == (stem != Path(name).stem)


@posix
def test_a_changed_stem_yields_to_the_file_that_really_has_it(tmp_path):
    touch(tmp_path, "a,b.wav", "a_b.wav")
    assert outputs(tmp_path, base=tmp_path) == {"a,b.wav": "a_b_wav.cha", "a_b.wav": "a_b.cha"}


@posix
@given(st.lists(st.text(min_size=1, max_size=12).filter(lambda s: not set("/\0") & set(s)), min_size=1, max_size=6))
def test_every_recording_has_a_transcript_of_its_own_that_media_can_name(names):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for name in names:
            try:
                (base / f"{name}.wav").write_bytes(b"x")
            except (OSError, UnicodeEncodeError):
                continue
        found = find_recordings([base, *(p for p in base.iterdir())])
        transcripts = [r.output.name.casefold() for r in found]
        assert len(set(transcripts)) == len(transcripts) == len(list(base.iterdir()))
        for recording in found:
            assert not re.search(r'[,"\x00-\x1f\x7f-\x9f\u2028\u2029]|^\s|\s$', recording.output.stem)


def test_the_documentation_lists_the_endings():
    text = (Path(__file__).resolve().parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    for kind, suffixes in (("sound", AUDIO_SUFFIXES), ("picture with sound", VIDEO_SUFFIXES)):
        assert f"- {kind}: {' '.join(suffix[1:] for suffix in suffixes)}\n" in text


# --- participants of a recording --------------------------------------------------------------------------------------

CSV = "file,code,role\na.wav,CHI,Target_Child\n*,INV,Investigator\n"


def codes(people: tuple[Participant, ...]) -> list[str]:
    return [person.code for person in people]


def test_the_table_of_the_folder(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "participants.csv").write_text(CSV)
    notes: list[str] = []
    assert codes(participants_for(tmp_path / "a.wav", on_note=notes.append)) == ["CHI", "INV"]
    assert codes(participants_for(tmp_path / "b.wav", on_note=notes.append)) == ["INV"]
    assert notes == []


def test_the_command_line_wins_over_the_table(tmp_path):
    (tmp_path / "participants.csv").write_text("nonsense")
    given = (Participant("PAR"),)
    assert participants_for(tmp_path / "a.wav", given) == given


def test_a_table_above_the_recording_is_found_up_to_the_folder_that_was_given(tmp_path):
    touch(tmp_path, "visits/one/a.wav")
    (tmp_path / "participants.csv").write_text("code\nMOT\n")
    (recording,) = find_recordings([tmp_path / "visits"])
    assert participants_for(recording) == ()
    (tmp_path / "visits" / "participants.csv").write_text("file,code\none/a.wav,CHI\n")
    assert codes(participants_for(recording)) == ["CHI"]
    (tmp_path / "visits" / "one" / "participants.csv").write_text("code\nFAT\n")
    assert codes(participants_for(recording)) == ["FAT"]
    assert participants_for(recording.path.parent.parent / "other.wav") == ()


def test_rows_that_name_no_recording_are_told_once(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "participants.csv").write_text("file,code\nvist1.wav,CHI\na,CHI\n")
    notes: list[str] = []
    for name in ("a.wav", "b.wav"):
        participants_for(tmp_path / name, on_note=notes.append)
    assert len(notes) == 1
    assert "no recording here is called 'vist1.wav'" in notes[0]


def test_a_table_that_changes_is_read_again(tmp_path):
    touch(tmp_path, "a.wav")
    (tmp_path / "participants.csv").write_text("code\nCHI\n")
    assert codes(participants_for(tmp_path / "a.wav")) == ["CHI"]
    (tmp_path / "participants.csv").write_text("code\nCHI\nINV\n")
    assert codes(participants_for(tmp_path / "a.wav")) == ["CHI", "INV"]


# --- stamps -----------------------------------------------------------------------------------------------------------

MODEL = SimpleNamespace(name="base", fingerprint="905e5bf8" * 8)
MARK = stamp("a" * 64, MODEL.fingerprint, "settings")


def transcript(mark: str = MARK, model: SimpleNamespace = MODEL) -> str:
    comment = stamp_comment(model, {"language": "eng", "pauses": "250/1000 ms"}, mark)  # type: ignore[arg-type]
    return f"@UTF8\n@Begin\n@Comment:\t{comment}\n*CHI:\thello .\n@End\n"


def test_the_comment_names_what_made_the_transcript():
    from asrlsa import __version__

    assert stamp_comment(MODEL, {"language": "eng", "beam": "1"}, MARK) == (  # type: ignore[arg-type]
        f"asrlsa {__version__}, model base (sha256 905e5bf8), language eng, beam 1, stamp {MARK}"
    )


def test_the_stamp_depends_on_everything():
    marks = {
        stamp(*parts)
        for parts in (("a" * 64, "m", "s"), ("b" * 64, "m", "s"), ("a" * 64, "n", "s"), ("a" * 64, "m", "t"))
    }
    assert len(marks) == 4
    assert all(re.fullmatch(r"[0-9a-f]{16}", mark) for mark in marks)


def test_stamps_tell_whether_the_recording_is_the_same():
    refined = stamp(MARK, "people", "participants")
    assert same_recording(MARK, refined)
    assert refined != MARK
    assert same_recording(MARK, stamp("a" * 64, "other model", "other"))
    assert not same_recording(MARK, stamp("b" * 64, MODEL.fingerprint, "settings"))


def test_whose_file_it_is(tmp_path):
    path = tmp_path / "a.cha"
    assert existing(path) == "absent"
    path.write_text(transcript())
    assert existing(path) == "ours"
    assert read_stamp(path) == MARK
    for foreign in ("", "@UTF8\n@Begin\n@End\n", transcript("none"), transcript().replace("asrlsa", "other")):
        path.write_text(foreign)
        assert existing(path) == "foreign"
        assert read_stamp(path) is None
    path.write_bytes(b"\xff\xfe\xff")
    assert existing(path) == "foreign"
    path.unlink()
    path.mkdir()
    assert existing(path) == "foreign"


def test_a_transcript_that_a_person_corrected_is_theirs(tmp_path):
    path = tmp_path / "a.cha"
    sealed = seal(transcript())
    path.write_text(sealed)
    assert existing(path) == "ours"
    assert not is_edited(path)
    path.write_text(sealed.replace("hello", "yellow"))
    assert existing(path) == "foreign"
    assert is_edited(path)
    assert read_stamp(path) == MARK


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(" language", "\n\tlanguage"),
        lambda text: text + "\n",
    ],
    ids=["line ends", "byte order mark", "folded", "last line"],
)
def test_saving_in_another_editor_is_no_correction(tmp_path, change):
    path = tmp_path / "a.cha"
    path.write_bytes(change(seal(transcript())).encode())
    assert existing(path) == "ours"
    assert read_stamp(path) == MARK


def test_sealing():
    sealed = seal(transcript())
    assert re.search(rf"stamp {MARK}, sum [0-9a-f]{{16}}$", sealed, re.MULTILINE)
    assert seal(sealed) == sealed
    assert seal("@UTF8\n@End\n") == "@UTF8\n@End\n"


def test_a_model_name_can_not_break_the_comment(tmp_path):
    odd = SimpleNamespace(name="my, model\n@End stamp 0000000000000000", fingerprint="ab" * 32)
    path = tmp_path / "a.cha"
    path.write_text(seal(transcript(model=odd)))
    assert read_stamp(path) == MARK
    assert existing(path) == "ours"
    assert path.read_text().count("\n") == 5


def test_a_recording_is_known_again(tmp_path):
    data = bytes(range(256)) * 20_000  # 5 MB
    one, two = tmp_path / "a.wav", tmp_path / "sub" / "b.wav"
    two.parent.mkdir()
    one.write_bytes(data)
    shutil.copyfile(one, two)
    os.utime(two, (1, 1))
    first = recording_fingerprint(one)
    assert recording_fingerprint(two) == first
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    for at in (0, 2_560_000, len(data) - 1):
        changed = bytearray(data)
        changed[at - 40_000 if at == 2_560_000 else at] ^= 1
        two.write_bytes(changed[:-1] if at == 2_560_000 else changed)
        assert recording_fingerprint(two) != first


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_048_576, 1_048_577, 2_000_000])
def test_fingerprints_of_every_size(tmp_path, size):
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(size))
    first = recording_fingerprint(path)
    path.write_bytes(bytes(size) + b"\0")
    assert recording_fingerprint(path) != first


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(MediaError, match="is a device or pipe"):
        recording_fingerprint(tmp_path / "a.wav")


def test_a_recording_that_is_not_there(tmp_path):
    with pytest.raises(MediaError, match="can't be read"):
        recording_fingerprint(tmp_path / "none.wav")


# --- writing ----------------------------------------------------------------------------------------------------------


def test_writing_is_whole_and_utf8(tmp_path):
    path = tmp_path / "sub" / "a.cha"
    write_atomic(path, "ünï\ncode\n")
    assert path.read_bytes() == "ünï\ncode\n".encode()
    write_atomic(path, "two\n")
    assert path.read_text() == "two\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.cha"]


@posix
def test_permissions_stay(tmp_path):
    path = tmp_path / "a.cha"
    before = os.umask(0o022)
    try:
        write_atomic(path, "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o640)
    write_atomic(path, "two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.cha").write_text("one")
    (tmp_path / "a.cha").symlink_to(tmp_path / "real" / "a.cha")
    write_atomic(tmp_path / "a.cha", "two")
    assert (tmp_path / "a.cha").is_symlink()
    assert (tmp_path / "real" / "a.cha").read_text() == "two"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "free some disk space"),
        (errno.EACCES, "write elsewhere with -o"),
        (errno.ENAMETOOLONG, "shorter"),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, number, message):
    path = tmp_path / "a.cha"
    path.write_text("old")

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(output.os, "fsync", fail)
    with pytest.raises(OutputError, match=message):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.cha"]


def test_text_that_is_not_unicode(tmp_path):
    with pytest.raises(OutputError, match="half a pair"):
        write_atomic(tmp_path / "a.cha", "a\ud800")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        write_atomic(tmp_path / "out" / "a.cha", "x")
    with pytest.raises(OutputError, match="can't be written"), claim(tmp_path / "out" / "a.cha"):
        pass


READ_ONLY = """
import os, pathlib, sys
from asrlsa.errors import OutputError
from asrlsa.recordings import claim, write_atomic
if os.geteuid() == 0:
    os.setuid(65534)
closed, protected = (pathlib.Path(word) for word in sys.argv[1:])
for act in (
    lambda: write_atomic(closed / "a.cha", "x"),
    lambda: claim(closed / "a.cha").__enter__(),
    lambda: claim(closed / "below" / "a.cha").__enter__(),
    lambda: write_atomic(protected, "x"),
):
    try:
        act()
        print("done")
    except OutputError as error:
        print(error)
"""


@posix
def test_a_read_only_folder_and_a_write_protected_transcript():
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        closed, shared, protected = base / "closed", base / "shared", base / "shared" / "a.cha"
        closed.mkdir()
        shared.mkdir()
        protected.write_text("mine")
        for path, mode in ((base, 0o755), (closed, 0o555), (shared, 0o777), (protected, 0o444)):
            path.chmod(mode)
        call = [sys.executable, "-c", READ_ONLY, str(closed), str(protected)]
        done = subprocess.run(call, capture_output=True, text=True, check=True)
        closed.chmod(0o755)
        lines = done.stdout.splitlines()
        assert len(lines) == 4
        assert all("can't be written (permission denied)" in line and "-o" in line for line in lines[:3])
        assert "the file is write-protected" in lines[3]
        assert protected.read_text() == "mine"
        assert [p.name for p in shared.iterdir()] == ["a.cha"]
        assert list(closed.iterdir()) == []


@posix
def test_the_longest_name(tmp_path):
    path = tmp_path / ("a" * 251 + ".cha")
    with claim(path) as mine:
        assert mine
        write_atomic(path, "x")
    assert path.read_text() == "x"


# --- claims -----------------------------------------------------------------------------------------------------------


def test_a_claim_is_exclusive_and_leaves_nothing(tmp_path):
    path = tmp_path / "sub" / "a.cha"
    with claim(path) as first:
        assert first
        with claim(path) as second:
            assert not second
        with claim(path.with_name("b.cha")) as other:
            assert other
    assert list(path.parent.iterdir()) == []
    with claim(path) as again:
        assert again


def test_a_claim_ends_with_an_error(tmp_path):
    with pytest.raises(RuntimeError), claim(tmp_path / "a.cha"):
        raise RuntimeError
    with claim(tmp_path / "a.cha") as mine:
        assert mine


HOLD = """
import sys, time, pathlib
from asrlsa.recordings import claim
with claim(pathlib.Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    run = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline().strip() == "True"
    return run


@posix
def test_a_killed_run_blocks_nobody_and_its_rest_is_removed(tmp_path):
    path = tmp_path / "a.cha"
    run = hold(path)
    try:
        with claim(path) as mine:
            assert not mine
        rest = tmp_path / f"{output._key(path)}-0badcafe.tmp"
        other = tmp_path / f"{output._key(tmp_path / 'b.cha')}-0badcafe.tmp"
        rest.write_text("half")
        other.write_text("of another run")
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert run.stdout is not None
        run.stdout.close()
    assert len(list(tmp_path.iterdir())) == 3
    with claim(path) as mine:
        assert mine
        assert not rest.exists()
        assert other.exists()
    assert list(tmp_path.iterdir()) == [other]


@posix
def test_a_run_killed_right_after_writing_leaves_nothing_for_good(tmp_path):
    path = tmp_path / "a.cha"
    run = hold(path)
    try:
        path.write_text("done")
        tidy(path)
        assert len(list(tmp_path.iterdir())) == 2  # the claim of a run that lives stays
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert run.stdout is not None
        run.stdout.close()
    tidy(path)
    assert list(tmp_path.iterdir()) == [path]
    tidy(path)
    assert list(tmp_path.iterdir()) == [path]


def test_many_at_once_never_share_a_claim(tmp_path):
    path = tmp_path / "a.cha"
    inside = 0
    most = 0
    done = 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, done
        mine = False
        while not mine:
            with claim(path) as mine:
                if not mine:
                    continue
                with guard:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.0005)
                with guard:
                    inside -= 1
                    done += 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert done == 12
    assert list(tmp_path.iterdir()) == []


def test_without_locks_the_claim_succeeds_and_sweeps_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.cha"
    rest = tmp_path / f"{output._key(path)}-0badcafe.tmp"
    rest.write_text("perhaps of another run")

    def none(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(output, "_lock_handle", none)
    with claim(path) as mine:
        assert mine
    assert [p.name for p in tmp_path.iterdir()] == [rest.name]


# --- the error log ----------------------------------------------------------------------------------------------------


def test_the_error_log_gets_one_line_each(tmp_path):
    log = tmp_path / "out" / "asrlsa-errors.log"
    recording = tmp_path / "a.wav"
    assert append_error(log, recording, f"{recording}: is empty\nreally")
    assert append_error(log, Path("b\n.wav"), "x")
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    when, path, why = lines[0].split("\t")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", when)
    assert path == str(recording)
    assert why == "is empty really"


def test_a_log_that_can_not_be_written_does_not_raise(tmp_path):
    (tmp_path / "out").write_text("")
    assert not append_error(tmp_path / "out" / "asrlsa-errors.log", tmp_path, "x")

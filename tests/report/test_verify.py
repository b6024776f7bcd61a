"""A results page is proved by computing it again; every kind of tampering is found and named."""

import io
import json
import re
import shutil
import tarfile
from contextlib import chdir
from pathlib import Path

import pytest

from masd.bin.evaluate import evaluate
from masd.bin.proof import pack as pack_results
from masd.bin.proof import verify as verify_results
from masd.bin.results import page as results
from masd.errors import MasdError
from masd.metrics.scores import write_scores
from masd.report.proof import differences, line_differences, packed, unpack, verify
from masd.stage.files import read_json, sha256, write_json


@pytest.fixture(scope="module")
def made(shared_corpus):
    """The folder of a results page of one system with two seeds, made once: copy it before changing it."""
    corpus = shared_corpus
    with chdir(corpus.root):
        for seed in (0, 1):
            make_run(corpus, Path("exp") / f"full_s{seed}", seed)
        train = {f"train-{utt}": row for utt, row in corpus.key.items()}
        corpus.make_data(Path("data/train"), train)
        (Path("data/train") / "utt2dur").write_text("".join(f"{utt} 36.0\n" for utt in sorted(train)))
        results(
            exp=Path("exp"), out=Path("RESULTS.md"), data=Path("data"), bootstrap=30, sets="train,dev,eval"
        )
    return corpus.root


def make_run(corpus, tag, seed):
    """Make a model's scores of dev and eval, and evaluate them, below the working directory."""
    corpus.make_model(tag / "model")
    for name in ("dev", "eval"):
        key = {f"{name}-{utt}": row for utt, row in corpus.key.items()}
        corpus.make_data(Path("data") / name, key)
        write_scores(tag / "scores" / name / "scores", corpus.make_scores(key, 1.2, seed))
    dev = {"dev_scores": tag / "scores/dev/scores", "dev_data": Path("data/dev")}
    for name in ("dev", "eval"):
        evaluate(
            scores=tag / "scores" / name / "scores",
            data=Path("data") / name,
            out=tag / "results" / name,
            model=tag / "model",
            bootstrap=20,
            breakdown="attack",
            **(dev if name == "eval" else {}),
        )


@pytest.fixture
def page(made, tmp_path, monkeypatch):
    """A copy of that folder, the working directory."""
    root = tmp_path / "recipe"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return root


def test_an_untouched_page_comes_out_again(page):
    assert verify(page / "RESULTS.manifest.json") == []
    verify_results(page / "RESULTS.manifest.json")
    assert "masd.bin.proof verify --manifest" in (page / "RESULTS.md").read_text()


def test_another_commit_is_told_apart_from_the_numbers(page, caplog, monkeypatch):
    """An empty commit or a new comment changes no number: status 0, and a line on the code."""
    monkeypatch.setattr("masd.report.proof.git_version", lambda ignore: "beef")
    path, manifest = Path("RESULTS.md"), Path("RESULTS.manifest.json")
    path.write_text(re.sub(r"(?m)^Code: .+$", "Code: cafe with 1 changed files", path.read_text()))
    with caplog.at_level("INFO"):
        verify_results(manifest)
    assert "RESULTS.md: numbers: all come out again (4 evaluations" in caplog.text
    assert "code: made by cafe with 1 changed files, this is beef" in caplog.text
    assert "RESULTS.md: made again since the manifest was written" in caplog.text
    path.write_text(path.read_text().replace("cafe with 1 changed files", "beef"))
    content = read_json(manifest)
    content["pages"]["RESULTS.md"] = sha256(path)
    write_json(manifest, content)
    caplog.clear()
    with caplog.at_level("INFO"):
        verify_results(manifest)
    assert "code: made by beef, as this is" in caplog.text and "made again" not in caplog.text


def test_a_page_made_again_by_other_code_is_still_that_of_its_proof(page, caplog):
    pack_results(Path("RESULTS.manifest.json"))
    path = Path("RESULTS.md")
    path.write_text(re.sub(r"(?m)^Code: .+$", "Code: cafe", path.read_text()))
    with caplog.at_level("INFO"):
        verify_results(Path("RESULTS.proof.tar.xz"))
    assert "RESULTS.md: made again since RESULTS.proof.tar.xz was packed" in caplog.text


def test_a_changed_score_is_found_by_its_file(page):
    path = page / "exp/full_s0/scores/eval/scores"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first.split()[0] + " 9.5", *rest]) + "\n")
    (line,) = verify(page / "RESULTS.manifest.json")
    assert line.startswith("exp/full_s0/scores/eval/scores: its sha256 is not the stated one")


def test_a_typed_number_is_found_by_its_line(page):
    path = page / "RESULTS.md"
    metrics = read_json(page / "exp/full_s0/results/eval/metrics.json")
    shown = f"{100 * metrics['pooled']['eer']:.2f}"
    path.write_text(path.read_text().replace(shown, "0.39"))
    lines = verify(page / "RESULTS.manifest.json")
    assert lines
    assert all("0.39" in line and shown in line for line in lines)
    with pytest.raises(MasdError, match=r"differences? from what its score files give"):
        verify_results(page / "RESULTS.manifest.json")


def test_metrics_that_scores_do_not_give_are_found_though_every_digest_fits(page):
    """Somebody who edits metrics.json, the page and the manifest alike is still found out."""
    path, manifest = Path("exp/full_s0/results/eval/metrics.json"), Path("RESULTS.manifest.json")
    metrics = read_json(path)
    metrics["pooled"]["eer"] -= 1e-6
    write_json(path, metrics)
    content = read_json(manifest)
    content["files"][str(path)] = sha256(path)
    write_json(manifest, content)
    lines = verify(manifest)
    assert any("metrics.json: pooled.eer is" in line for line in lines)


def test_missing_files_and_other_manifests_are_named(page):
    shutil.rmtree(page / "exp/full_s1/scores")
    assert any(
        "full_s1/scores/eval/scores: is not there" in line for line in verify(page / "RESULTS.manifest.json")
    )
    (page / "RESULTS.manifest.json").write_text('{"format": 0}')
    with pytest.raises(MasdError, match="not a manifest of format"):
        verify(page / "RESULTS.manifest.json")


def test_what_came_later_does_not_make_a_page_wrong(page, shared_corpus, caplog):
    """An exp folder lives on: systems, trainings and probes of after the page are passed over."""
    make_run(shared_corpus, Path("exp/plus_s0"), 2)
    shutil.copytree("exp/full_s0/results/eval", "exp/full_s0/scores/eval", dirs_exist_ok=True)
    record = {"epoch": 1, "best": True, "dev": {"mask": 1.0, "chance_mask": 2.0}, "train": {}}
    (page / "exp/plus_s0/metrics.jsonl").write_text(json.dumps(record) + "\n")
    write_json("exp/plus_s0/probe_plus.json", {"gates": {"grl": {"holds": True, "value": 0, "limit": 1}}})
    with caplog.at_level("INFO"):
        assert verify(Path("RESULTS.manifest.json")) == []
    assert "exp/plus_s0/results/eval: not of the page; passed over" in caplog.text


def test_a_development_set_evaluated_later_does_not_make_a_page_wrong(page):
    for seed in (0, 1):
        shutil.move(f"exp/full_s{seed}/results/dev", f"dev_s{seed}")
    results(exp=Path("exp"), out=Path("RESULTS.md"), bootstrap=30)
    for seed in (0, 1):
        shutil.move(f"dev_s{seed}", f"exp/full_s{seed}/results/dev")
    assert verify(Path("RESULTS.manifest.json")) == []


PAGE = "# Results\n\n## Corpus\n\n1 h\n\n## Checks\n\nholds\n\n## How this was made\n\ntoday\n"


@pytest.mark.parametrize(
    ("forged", "found"),
    [
        (
            PAGE.replace("## Corpus", "## Corpus\n\n9 h\n\n## Corpus"),
            ["section Corpus: stands 2 times", "9 h"],
        ),
        (PAGE + "\n## How this was made\n\nEER 0.39\n", ["section How this was made: stands 2 times"]),
        (PAGE + "\n### EER\n\n0.39\n", ["has '### EER', computed ''"]),
        (PAGE + "\n ## Corpus\n\n9 h\n", ["has ' ## Corpus', computed ''"]),
        (PAGE.replace("## Corpus\n\n1 h\n\n", ""), ["has '', computed '## Corpus'"]),
        (
            PAGE.replace("## Corpus\n\n1 h\n\n", "").replace("## How", "## Corpus\n\n1 h\n\n## How"),
            ["has '', computed '## C", "has '## C"],
        ),
        (PAGE.replace("1 h", "9 h"), ["has '9 h', computed '1 h'"]),
        (PAGE.replace("today", "yesterday"), []),
    ],
)
def test_sections_are_those_computed_once_each_and_in_order(forged, found):
    """A second section of a title, or one of another level, would be read like the true ones."""
    lines = list(line_differences(PAGE, forged))
    assert bool(lines) == bool(found)
    assert all(any(words in line for line in lines) for words in found)


def test_a_forged_second_section_is_found(page):
    path = page / "RESULTS.md"
    title = next(line for line in path.read_text().splitlines() if line.startswith("## full_s0 on"))
    path.write_text(path.read_text().replace(title, f"{title}\n\nEER 0.39\n\n{title}"))
    lines = verify(Path("RESULTS.manifest.json"))
    assert any(line == f"RESULTS.md: section {title[3:]}: stands 2 times" for line in lines)


def test_differences_name_the_value():
    stated = {"a": [1.0, {"b": 2}], "c": "x"}
    assert list(differences({"a": [1.0 + 1e-12, {"b": 2}], "c": "x"}, stated)) == []
    assert list(differences({"a": [1.0, {"b": 3}], "c": "x"}, stated)) == ["a[1].b is 2, computed 3"]
    assert list(differences({"a": [1.0], "c": "x"}, stated)) == ["a is [1.0, {'b': 2}], computed [1.0]"]
    assert list(differences({"c": "x"}, stated)) == ["a is not computed"]


def test_a_proof_verifies_far_from_where_it_was_made(page, shared_corpus, tmp_path, monkeypatch):
    """Archive and page alone, in another folder; an edited page beside it is found."""
    pack_results(Path("RESULTS.manifest.json"))
    there = tmp_path / "elsewhere"
    there.mkdir()
    for name in ("RESULTS.md", "RESULTS.proof.tar.xz"):
        shutil.copy(page / name, there / name)
    monkeypatch.chdir(there)
    verify_results(Path("RESULTS.proof.tar.xz"))
    unpack(Path("RESULTS.proof.tar.xz"), there / "unpacked")
    appendix = (there / "unpacked/exp/report/appendix.md").read_text()
    assert f" {len(shared_corpus.key) * 0.01:.2f} |" in appendix, (
        "the hours of a set that no score belongs to"
    )
    text = (there / "RESULTS.md").read_text()
    (there / "RESULTS.md").write_text(text.replace("| system ", "| System ", 1))
    with pytest.raises(MasdError, match=r"RESULTS.md: not the page of RESULTS.proof.tar.xz: has"):
        verify_results(Path("RESULTS.proof.tar.xz"))


def test_a_proof_is_the_same_for_the_same_files_and_refuses_changed_ones(page):
    manifest = Path("RESULTS.manifest.json")
    pack_results(manifest)
    once = sha256("RESULTS.proof.tar.xz")
    pack_results(manifest)
    assert sha256("RESULTS.proof.tar.xz") == once
    (page / "exp/full_s0/scores/eval/scores").write_text("e1 0.5\n")
    with pytest.raises(MasdError, match=r"scores/eval/scores: missing, or changed"):
        pack_results(manifest)
    (page / "RESULTS.proof.tar.xz").write_bytes(b"no archive")
    with pytest.raises(MasdError, match="no whole archive"):
        verify_results(Path("RESULTS.proof.tar.xz"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: [], "not a manifest of format 3"),
        (lambda content: {"format": 3}, "pages is missing, unknown or of the wrong kind"),
        (lambda content: content | {"files": ["a"]}, "files is missing, unknown"),
        (lambda content: content | {"files": {"a": None}}, "files.a is missing, unknown"),
        (lambda content: content | {"evaluations": [1]}, "evaluations.0 is missing, unknown"),
        (lambda content: content | {"arguments": {}}, "arguments.system is missing, unknown"),
        (lambda content: content | {"more": 1}, "more is missing, unknown"),
        (
            lambda content: content | {"arguments": content["arguments"] | {"prepare": "x"}},
            "arguments.prepare is missing, unknown",
        ),
    ],
)
@pytest.mark.parametrize("entry_point", [verify_results, pack_results])
def test_a_bad_manifest_is_one_clear_line(made, tmp_path, monkeypatch, change, words, entry_point):
    """A manifest may come from anyone too, and from any version."""
    monkeypatch.chdir(tmp_path)
    write_json("RESULTS.manifest.json", change(read_json(made / "RESULTS.manifest.json")))
    with pytest.raises(MasdError, match=rf"^RESULTS.manifest.json: {re.escape(words)}"):
        entry_point(Path("RESULTS.manifest.json"))


@pytest.mark.parametrize("content", [[], {}, {"inputs": []}, {"inputs": {}}])
def test_metrics_that_do_not_say_how_they_were_made_are_named(page, content):
    path, manifest = Path("exp/full_s0/results/eval/metrics.json"), Path("RESULTS.manifest.json")
    write_json(path, content)
    write_json(manifest, read_json(manifest) | {"files": {str(path): sha256(path)}})
    with pytest.raises(MasdError, match=r"results/eval/metrics.json: does not say how it was made"):
        verify(manifest)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_proof_cut_short_is_one_clear_line(made, tmp_path, monkeypatch, share):
    """Downloads end early."""
    monkeypatch.chdir(made)
    proof = tmp_path / "RESULTS.proof.tar.xz"
    pack_results(Path("RESULTS.manifest.json"), proof)
    proof.write_bytes(proof.read_bytes()[: int(share * proof.stat().st_size)])
    with pytest.raises(MasdError, match=r"RESULTS.proof.tar.xz: no whole archive"):
        verify_results(proof)


@pytest.fixture
def zero_shot(made, tmp_path, monkeypatch):
    """A recipe's folder, the working directory, with the page of a model and a key that lie elsewhere."""
    model, recipe, key = (tmp_path / name for name in ("la/exp/full/full_s0/model", "df", "keys/eval"))
    for source, target in ((made / "exp/full_s0/model", model), (made / "data/eval", key)):
        shutil.copytree(source, target)
    run = Path("exp/full/zero_shot_full_s0")
    (recipe / run / "scores").mkdir(parents=True)
    shutil.copy(made / "exp/full_s0/scores/eval/scores", recipe / run / "scores/scores")
    # as recipes are kept in step: a configuration that is a link
    (tmp_path / "la/masd.yaml").write_text("{}\n")
    (recipe / "masd.yaml").symlink_to("../la/masd.yaml")
    monkeypatch.chdir(recipe)
    near = Path("../la/exp/full/full_s0/model")
    evaluate(scores=run / "scores/scores", data=key, out=run / "results/eval", model=near, bootstrap=20)
    results(
        exp=Path("exp/full"),
        out=Path("exp/full/RESULTS.md"),
        system="zero_shot_full",
        bootstrap=30,
        protocol=f"masd.yaml,../la/masd.yaml,{tmp_path}/la/masd.yaml",
    )
    return recipe


def test_a_zero_shot_page_is_proved_where_nothing_else_is(zero_shot, tmp_path, monkeypatch):
    """Its model lies in another recipe, its key in a corpus' folder: their files go along."""
    verify_results(Path("exp/full/RESULTS.manifest.json"))
    pack_results(Path("exp/full/RESULTS.manifest.json"))
    there = tmp_path / "elsewhere"
    there.mkdir()
    for name in ("RESULTS.md", "RESULTS.proof.tar.xz"):
        shutil.move(f"exp/full/{name}", there / name)
    monkeypatch.chdir(there)
    for name in ("la", "df", "keys"):
        shutil.rmtree(tmp_path / name)
    verify_results(Path("RESULTS.proof.tar.xz"))
    unpack(Path("RESULTS.proof.tar.xz"), Path("unpacked"))
    assert Path("unpacked/_outside/_up/la/exp/full/full_s0/model/model.yaml").is_file()
    (there / "RESULTS.md").write_text("# other\n")
    with pytest.raises(MasdError, match=r"RESULTS.md: not the page of RESULTS.proof.tar.xz"):
        verify_results(Path("RESULTS.proof.tar.xz"))


def test_a_changed_file_from_outside_is_named_as_the_manifest_names_it(zero_shot, tmp_path, capsys):
    manifest = Path("exp/full/RESULTS.manifest.json")
    content = read_json(manifest)
    model = "../la/exp/full/full_s0/model/model.yaml"
    content["files"][model] = "0" * 64
    write_json(manifest, content)
    with pytest.raises(MasdError, match=rf"^{re.escape(model)}: missing, or changed since"):
        pack_results(manifest)
    proof = tmp_path / "RESULTS.proof.tar.xz"
    with tarfile.open(proof, "w:xz") as archive:
        archive.add(manifest, "RESULTS.manifest.json")
        for name in content["files"]:
            archive.add(Path(name).resolve(), packed(name))
    with pytest.raises(MasdError, match="1 difference from"):
        verify_results(proof)
    assert f"{model}: its sha256 is not the stated one" in capsys.readouterr().err


def test_no_file_takes_anothers_place_in_a_proof(zero_shot):
    Path("_outside/_up/la").mkdir(parents=True)
    shutil.copy("masd.yaml", "_outside/_up/la/masd.yaml")
    manifest = Path("exp/full/RESULTS.manifest.json")
    content = read_json(manifest)
    content["files"]["_outside/_up/la/masd.yaml"] = sha256("masd.yaml")
    write_json(manifest, content)
    with pytest.raises(MasdError, match=r"la/masd.yaml: would lie where .*la/masd.yaml does"):
        pack_results(manifest)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("exp/full/a", "exp/full/a"),
        ("../la/a", "_outside/_up/la/a"),
        ("../../a", "_outside/_up/_up/a"),
        ("data/../a", "_outside/data/_up/a"),
        ("/corpus/a", "_outside/_root/corpus/a"),
        ("//corpus/a", "_outside/_root/corpus/a"),
    ],
)
def test_every_name_has_its_place_inside_a_proof(name, place):
    """A manifest from anyone names files of the archive alone, never those of whoever verifies it."""
    assert packed(name) == Path(place)


@pytest.mark.parametrize("kind", ["above", "link"])
def test_a_proof_that_would_write_outside_is_refused(tmp_path, kind):
    """A proof is taken from anyone, also by Pythons whose tarfile trusts every member."""
    proof = tmp_path / "RESULTS.proof.tar.xz"
    member = tarfile.TarInfo("../above.txt" if kind == "above" else "link")
    if kind == "link":
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
    with tarfile.open(proof, "w:xz") as archive:
        archive.addfile(member, io.BytesIO())
    with pytest.raises(MasdError, match=r"is no plain file inside the folder"):
        unpack(proof, tmp_path / "there")
    assert not (tmp_path / "above.txt").exists() and not (tmp_path / "there").exists()


def test_a_set_probed_for_cues_later_does_not_make_a_page_wrong(page):
    results(exp=Path("exp"), out=Path("RESULTS.md"), data=Path("data"), bootstrap=30)
    write_json("data/cues/eval.json", {"set": "eval", "bound": 0.65, "most": 5, "seed": 0, "rows": []})
    assert verify(Path("RESULTS.manifest.json")) == []
    results(exp=Path("exp"), out=Path("RESULTS.md"), data=Path("data"), bootstrap=30)
    assert "too few utterances in eval to judge" in Path("RESULTS.md").read_text()
    Path("data/cues/eval.json").unlink()
    assert verify(Path("RESULTS.manifest.json")) == ["data/cues/eval.json: is not there"]

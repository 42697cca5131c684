"""Training the network that finds pairs in documents, on a toy of it and on invented articles."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from dataclasses import replace  # noqa: E402

from tokenizers import Tokenizer  # noqa: E402
from transformers import AutoModel  # noqa: E402

from stance.backends.onnx_graph import open_articles  # noqa: E402
from stance.encoding import plain  # noqa: E402
from stance.errors import CheckpointError  # noqa: E402
from stance.pairing import find  # noqa: E402
from stance.pairing.finder import load, save, scorer  # noqa: E402
from stance.pairing.layout import lay_out  # noqa: E402
from stance.records import Document, Span  # noqa: E402
from training.article_network import ArticleNetwork, write_graph  # noqa: E402
from training.articles import ArticleRecipe, example_of, fit_links, scores_of, train, truth_of  # noqa: E402
from training.documents import Found  # noqa: E402

RECIPE = ArticleRecipe(
    epochs=2, learning_rate=3e-3, head_rate=3e-3, frozen_layers=0, tokens=120, layer_decay=1.0, around=0, title=1.0
)
FILLERS = ("On the river it was.", "We said the mine.", "They said it of the paper.", "On the council we said.")


def article(i: int) -> tuple[Document, Found]:
    """A charge, a filler, and a reply, in an order of its own."""
    charge, reply = (
        ("They sold the documents, hypocrites.", "A smear of the minister, worse.")[i % 2],
        "We never sold it.",
    )
    lines = [FILLERS[i % 4], charge, FILLERS[(i // 4) % 4], reply, FILLERS[(i + 1) % 4]]
    lines = lines[i % 3 :] if i % 3 < 2 else lines
    text = "\n".join(lines)
    a, r = (Span(start=text.index(x), end=text.index(x) + len(x)) for x in (charge, reply))
    return Document(text=text, id=f"t{i}", title="The minister"), Found(
        accusations=(a,), responses=(r,), links=((a, r, "denial"),)
    )


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> Tokenizer:
    return plain(Tokenizer.from_file(str(tiny_bert / "tokenizer.json")))


def network_from(folder: Path) -> ArticleNetwork:
    torch.manual_seed(0)
    encoder = AutoModel.from_pretrained(folder)
    encoder.pooler = None
    return ArticleNetwork(encoder)


@pytest.fixture(scope="module")
def examples() -> list:
    return [example_of(*article(i)) for i in range(48)]


@pytest.fixture(scope="module")
def trained(tiny_bert: Path, tokenizer: Tokenizer, examples: list, tmp_path_factory) -> ArticleNetwork:
    network = network_from(tiny_bert)
    save_to = tmp_path_factory.mktemp("articles") / "articles.pt"
    train(network, examples[:36], [], tokenizer, replace(RECIPE, epochs=12), save_to, log=lambda line: None)
    return network.eval()


def test_the_truth_of_a_layout_is_what_a_reader_marked(tokenizer: Tokenizer) -> None:
    example = example_of(*article(0))
    truth = truth_of(example, lay_out(example.reading, tokenizer))
    assert truth.sides[:, 0].tolist() == [0, 1, 0, 0, 0] and truth.sides[:, 1].tolist() == [0, 0, 0, 1, 0]
    assert np.isnan(np.diag(truth.links)).all() and np.nansum(truth.links) == truth.links[1, 3] == 1
    assert truth.goes_on[1, 0] == 0 and np.isnan(truth.goes_on[0, 0])


def test_around_a_pair_only_a_yes_is_told_of_a_sentence_that_is_marked(tokenizer: Tokenizer) -> None:
    document, gold = article(0)
    region = Span(start=gold.accusations[0].start, end=gold.responses[0].end)
    example = example_of(document, gold, region)
    truth = truth_of(example, lay_out(example.reading, tokenizer))
    assert truth.weight < 1 and len(truth.sides) == 3
    assert truth.sides[0, 0] == 1 and np.isnan(truth.sides[0, 1]) and truth.sides[1].tolist() == [0, 0]


def test_charges_replies_and_links_are_learned(trained: ArticleNetwork, tokenizer: Tokenizer, examples: list) -> None:
    right = 0
    for example, scores in zip(examples[36:], scores_of(trained, examples[36:], tokenizer), strict=True):
        truth = truth_of(example, lay_out(example.reading, tokenizer))
        asked = np.where(np.isnan(truth.links), -np.inf, scores.links)
        right += np.unravel_index(asked.argmax(), asked.shape) == np.unravel_index(
            np.nan_to_num(truth.links).argmax(), truth.links.shape
        )
    assert right >= 10


def test_the_graph_and_the_heads_in_numpy_say_what_the_network_says(
    trained: ArticleNetwork, tokenizer: Tokenizer, examples: list, tmp_path: Path
) -> None:
    write_graph(trained, tmp_path / "documents.onnx")
    read_scores = scorer(trained.head_weights(), open_articles(tmp_path / "documents.onnx"), tokenizer)
    for example, own in zip(examples[:6], scores_of(trained, examples[:6], tokenizer), strict=True):
        served = read_scores(example.reading)
        assert served.sides == pytest.approx(own.sides, abs=0.02)
        assert served.goes_on == pytest.approx(own.goes_on, abs=0.02)
        assert served.links == pytest.approx(own.links, abs=0.1)


def test_what_was_trained_finds_the_pair_of_a_new_article(
    trained: ArticleNetwork, tokenizer: Tokenizer, examples: list, tmp_path: Path
) -> None:
    write_graph(trained, tmp_path / "documents.onnx")
    vectors = open_articles(tmp_path / "documents.onnx")
    read_scores = scorer(trained.head_weights(), vectors, tokenizer)
    head, thresholds = fit_links(examples[:36], [read_scores(e.reading) for e in examples[:36]], lambda line: None)
    save(tmp_path / "documents.npz", trained.head_weights(), head, thresholds)
    document, gold = article(40)
    found = find(document, load(tmp_path / "documents.npz", vectors, tokenizer))
    assert [(p.accusation_span, p.response_span) for p in found.pairs] == [gold.links[0][:2]]


def test_a_killed_run_goes_on_to_the_same_weights(
    tiny_bert: Path, tokenizer: Tokenizer, examples: list, tmp_path: Path
) -> None:
    def run(name: str, kill: bool) -> ArticleNetwork:
        def after(epoch: int) -> None:
            if kill and epoch == 0:
                raise KeyboardInterrupt

        network = network_from(tiny_bert)
        try:
            train(network, examples[:8], examples[8:14], tokenizer, RECIPE, tmp_path / name,
                  after_epoch=after, log=lambda line: None)  # fmt: skip
        except KeyboardInterrupt:
            return run(name, kill=False)
        return network

    whole, resumed = run("a.pt", kill=False), run("b.pt", kill=True)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_embeddings_and_the_lowest_layers_stay_as_they_are(
    tiny_bert: Path, tokenizer: Tokenizer, examples: list, tmp_path: Path
) -> None:
    before, network = network_from(tiny_bert), network_from(tiny_bert)
    train(network, examples[:4], [], tokenizer, replace(RECIPE, epochs=1, frozen_layers=1), tmp_path / "x.pt",
          log=lambda line: None)  # fmt: skip
    moved = {
        name
        for (name, a), b in zip(before.state_dict().items(), network.state_dict().values(), strict=True)
        if not torch.equal(a, b)
    }
    assert any("layer.1." in name for name in moved)
    assert not any("layer.0." in name or "embeddings" in name for name in moved)


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"documents\.onnx is missing"):
        open_articles(tmp_path / "documents.onnx")

"""What several files of tests are given."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from typing import TYPE_CHECKING, Any

import pytest

# Before torch is imported. Tests run side by side, one process on each core; theirs inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Signatures hold random numbers, and many tests compare files byte for byte; tests/test_trust.py turns them on.
os.environ["FOOTAGE_PROVENANCE"] = "off"
# Many tests compare frames; tests/test_mark.py turns the invisible mark on.
os.environ["FOOTAGE_MARK"] = "off"

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

NEEDED = "FOOTAGE_NEEDS_CHROMIUM"
"""Set in continuous integration: there a missing browser is a failure."""
PATIENCE = 45_000
"""Milliseconds that a page is waited for, unless a test says otherwise: machines that test are slow at times."""


NIGHTLY = (
    "test_cli.py::test_every_command_prints_one_json_document_or_none",
    "test_cli.py::test_every_verb_speaks_to_a_terminal_of_ascii[train ",
    "test_cluster.py::test_a_cluster_by_its_address",
    "test_cluster.py::test_clips_figures_and_larger_videos_are_the_same",
    "test_conversion.py::test_tensors_do_not_pile_up[animate-64",
    "test_conversion.py::test_tensors_do_not_pile_up[translate-64",
    "test_examples.py::test_train_and_generate",
    "test_examples.py::test_your_own_clips",
    "test_features.py::test_corruptions_are_ranked_by_their_strength[1-",
    "test_gpu_day.py::test_a_rehearsal_leaves_tables",
    "test_ingest.py::test_killed_and_started_again_is_as_if_never_killed[0.",
    "test_lens.py::test_noise_on_latents_is_forgiven",
    "test_lens.py::test_texture_that_no_latent_tells",
    "test_library_faults.py::test_killed_among_random_operations",
    "test_noise_bank.py::test_between_sixteenths",
    "test_noise_bank.py::test_differences_of_slow_processes",
    "test_notebooks.py::test_run_at_tiny_size[trusted_figures]",
    "test_notebooks.py::test_run_at_tiny_size[your_clips]",
    "test_one_evaluator.py::test_a_run_chooses_its_best_model_by_the_figure_of_evaluate[stream-64-kernel]",
    "test_one_evaluator.py::test_a_run_chooses_its_best_model_by_the_figure_of_evaluate[svg-64-kernel]",
    "test_predict.py::test_predictors_learn_what_moves[convlstm]",
    "test_predict.py::test_predictors_learn_what_moves[sprites]",
    "test_predict.py::test_predictors_learn_what_moves[svg]",
    "test_processes.py::test_a_run_of_two_is_taken_up_by_one_and_by_two",
    "test_site.py::test_built_strictly_with_every_command_and_name",
    "test_site.py::test_plots_are_moved_by_the_keyboard",
    "test_studio_accessible.py::test_axe_finds_nothing_wrong_with_any_page[1-",
    "test_studio_browser.py::test_generate_then_between_two",
    "test_studio_browser.py::test_latent_sliders_are_moved_and_kept",
    "test_studio_browser.py::test_the_page_of_a_clip_knows_from_where",
    "test_studio_browser.py::test_every_page_fits_and_has_names[dark-",
    "test_studio_fuzz.py::test_no_request_is_a_fault_of_the_server[look]",
    "test_studio_fuzz.py::test_no_request_is_a_fault_of_the_server[make]",
    "test_studio_fuzz.py::test_no_request_is_a_fault_of_the_server[owner]",
    "test_studio_fuzz.py::test_no_request_is_a_fault_of_the_server[rate]",
    "test_studio_making.py::test_a_grid_is_looked_at_taken_and_kept",
    "test_studio_volumes.py::test_an_uploaded_volume",
    "test_text.py::test_clips_are_continued_and_translated_as_told[translate-64",
    "test_train.py::test_resumed_equals_uninterrupted_and_an_ended_run_can_be_extended[stream-64]",
    "test_train.py::test_resumed_equals_uninterrupted_and_an_ended_run_can_be_extended[vae-latent-64]",
    "test_tutorials.py::test_a_library_for_a_team",
    "test_tutorials.py::test_a_live_wall",
    "test_tutorials.py::test_hd_overnight",
    "test_tutorials.py::test_trusted_figures",
    "test_tutorials.py::test_your_clips_in_ten_minutes",
)
"""Tests, and some of the cases of others, that `make test` leaves to the night: what begins so is marked."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(NIGHTLY):
            item.add_marker(pytest.mark.nightly)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """No test finds what others have left in its process: numbers drawn of PyTorch's own generator, files in memory."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
    if (memory := sys.modules.get("fsspec.implementations.memory")) is not None:
        memory.MemoryFileSystem.store.clear()
        memory.MemoryFileSystem.pseudo_dirs[:] = [""]


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class SeasonedBrowser:
    """A browser in which the studio has been visited before, so that its tour does not stand before what is tested."""

    def __init__(self, visitor: Browser) -> None:
        self.visitor = visitor
        """The same browser, coming for the first time."""

    def new_context(self, **options: Any) -> BrowserContext:
        context = self.visitor.new_context(**options)
        context.set_default_timeout(PATIENCE)
        context.add_init_script("try { localStorage.setItem('tour', 'seen') } catch { /* no page of the studio */ }")
        return context

    def new_page(self, **options: Any) -> Page:
        return self.new_context(**options).new_page()


@pytest.fixture(scope="module")
def visitor(browser: SeasonedBrowser) -> Browser:
    return browser.visitor


@pytest.fixture(scope="module")
def browser() -> Iterator[SeasonedBrowser]:
    found = _chromium()
    if found is None:
        if os.environ.get(NEEDED):
            pytest.fail(f"{NEEDED} is set and there is no Chromium: apt-get install chromium")
        pytest.skip("NO CHROMIUM: the studio was NOT tried in a browser; apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield SeasonedBrowser(made)
        made.close()


@pytest.fixture(scope="session")
def trainers() -> ForkServerContext:
    """Starts processes that can train at once: they are forked from one that has imported all that it takes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["footage.training.trainer", "lightning_fabric", "matplotlib.figure", "pytest", "torch._dynamo"]
    )
    return context

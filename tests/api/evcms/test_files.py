"""Links to private files, names of thumbnails, and which store the settings mean."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.config import ApiConfig
from api.errors import Problem
from api.evcms.files import check_link, signed_url, thumbnail_of
from api.operations import providers
from deploy.messages import SetupError
from deploy.settings import Settings
from storage.queries.uploads import Upload
from stream.files import DiskStore
from stream.files.s3 import S3Store
from tests.api.helpers import SECRET

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
NAMES = st.text("0123456789abcdef.", min_size=1, max_size=40)


def link(config: ApiConfig, filename: str) -> tuple[str, str]:
    upload = Upload(1, 2, "document", filename, "a.pdf", "application/pdf", 9, NOW)
    url, _ = signed_url(config, upload, NOW)
    expires, signature = url.partition("?expires=")[2].split("&signature=")
    return expires, signature


@given(name=NAMES, other=NAMES, later=st.integers(1, 10**6))
def test_a_link_is_good_for_one_file_and_one_time(name: str, other: str, later: int) -> None:
    config = ApiConfig(secret_key=SECRET)
    expires, signature = link(config, name)
    check_link(config, "document", name, expires=expires, signature=signature, now_us=NOW_US)
    with pytest.raises(Problem) as late:
        check_link(
            config, "document", name, expires=expires, signature=signature, now_us=NOW_US + 900_000_000
        )
    assert late.value.status == 401
    changes = [(name, str(int(expires) + later)), *([(other, expires)] if other != name else [])]
    for filename, until in changes:
        with pytest.raises(Problem) as refused:
            check_link(config, "document", filename, expires=until, signature=signature, now_us=NOW_US)
        assert refused.value.status == 403
    stranger = ApiConfig(secret_key=SECRET[::-1])
    with pytest.raises(Problem):
        check_link(stranger, "document", name, expires=expires, signature=signature, now_us=NOW_US)


def test_a_thumbnail_goes_by_its_pictures_name() -> None:
    assert thumbnail_of("ab.jpg") == "ab-thumb.jpg"


def test_the_settings_say_where_files_are(tmp_path: Path) -> None:
    assert isinstance(providers.files(Settings(data_dir=tmp_path, _env_file=None)), DiskStore)
    key = {"files_bucket": "b", "files_key_id": "k"}
    with pytest.raises(SetupError, match="needs a key"):
        providers.files(Settings.model_validate(key))
    bucket = {**key, "files_key_secret": "s", "files_endpoint": "http://127.0.0.1:9"}
    assert isinstance(providers.files(Settings.model_validate(bucket)), S3Store)
    with pytest.raises(SetupError, match="Check GRIDWIRE_FILES_ENDPOINT"):
        providers.files(Settings.model_validate({**bucket, "files_endpoint": "nowhere"}))

import pytest

from bmtune.records import to_line
from bmtune.tracking.tail import RecordTail


def test_each_record_is_read_once_and_only_when_it_is_whole(tmp_path, search_records):
    path = tmp_path / "records.jsonl"
    tail = RecordTail(path)
    assert tail.read() == []
    lines = [to_line(record) for record in search_records[:3]]
    path.write_bytes(lines[0] + lines[1][:20])
    assert tail.read() == search_records[:1]
    assert tail.read() == []
    path.write_bytes(b"".join(lines))
    assert tail.read() == search_records[1:3]


def test_a_damaged_line_is_not_passed_over(tmp_path, search_records):
    path = tmp_path / "records.jsonl"
    path.write_bytes(to_line(search_records[0]).replace(b"night", b"fight"))
    with pytest.raises(ValueError, match="checksum"):
        RecordTail(path).read()

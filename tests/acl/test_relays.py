"""The `derpMap` section."""

from __future__ import annotations

import pytest

from acl import PolicyError, parse_policy

GOOD = """{"derpMap": {"OmitDefaultRegions": true, "Regions": {
  "901": {"RegionID": 901, "Nodes": [{"HostName": "r"}]}, "1": null}}}"""


def test_a_good_section_is_kept() -> None:
    policy = parse_policy(GOOD)
    assert isinstance(policy.derp_map, dict)
    assert policy.derp_map["Regions"]["1"] is None


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("[]", "line 1, column 13: derpMap: expected an object, found a list"),
        ('{"Regions": 3}', "column 25: derpMap.Regions: expected an object, found a number"),
        ('{"OmitDefaultRegions": 1}', "expected true or false, found a number"),
        ('{"Regions": {"x": null}}', "column 26: derpMap.Regions[x]: a region is named by its number"),
        ('{"Regions": {"0": null}}', "a region is named by its number"),
        ('{"Regions": {"5": 1}}', "expected an object, or null"),
        (
            '{"Regions": {"5": {"RegionID": 6, "Nodes": []}}}',
            "column 44: derpMap.Regions[5]: RegionID is not 5",
        ),
        ('{"Regions": {"5": {}}}', "a region needs Nodes"),
        ('{"Regions": {"5": {"Nodes": {}}}}', "derpMap.Regions[5].Nodes: expected a list"),
        ('{"Regions": {"5": {"Nodes": [{}]}}}', "a relay needs a HostName"),
        ('{"Regions": {"5": {"Nodes": ["r"]}}}', "a relay needs a HostName"),
    ],
)
def test_mistakes_have_a_place(section: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(f'{{"derpMap": {section}}}')
    assert words in str(caught.value)

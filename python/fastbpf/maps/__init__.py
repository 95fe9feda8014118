"""Maps: what programs keep, and what carries their events."""

from fastbpf.maps.cpus import possible_cpus
from fastbpf.maps.given import check_given, read_only
from fastbpf.maps.info import MapInfo, loaded_maps
from fastbpf.maps.map import Map
from fastbpf.maps.memory import Memory
from fastbpf.maps.spec import MapSpec
from fastbpf.maps.variables import Variables
from fastbpf.maps.write import Report

__all__ = [
    "Map",
    "MapInfo",
    "MapSpec",
    "Memory",
    "Report",
    "Variables",
    "check_given",
    "loaded_maps",
    "possible_cpus",
    "read_only",
]

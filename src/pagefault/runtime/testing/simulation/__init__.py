"""Parts of a deterministic simulation: processes that die and stall, disks that lose power, an all-knowing witness."""

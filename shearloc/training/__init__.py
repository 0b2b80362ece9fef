"""Everything that imports torch to learn: data, objectives, fitting, rounding, export."""

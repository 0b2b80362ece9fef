"""A family of models for a test: every sample plus a constant, deflated. It shows what a family must give."""

from shearloc.models.family import Family

FAMILY = Family(name="toy", method=77, format="toy-1", precision=8, module=f"{__name__}.model", lanes=False)

"""The portfolio as an NBFC reads it: /api/nbfc/portfolio (IE-023). Analytics have the other (IE-033)."""

from api.context import Db
from api.ienerzy.analytics import MONTHS_MAX
from api.ienerzy.figures_scope import DealerId
from api.ienerzy.portfolio_schemas import NbfcPortfolio
from api.routing import Router
from storage.queries import ienerzy_figures

router = Router(prefix="/nbfc")


@router.get("/portfolio")
async def portfolio(dealer_id: DealerId, db: Db) -> NbfcPortfolio:
    """Show applications, what was disbursed, and the last 12 months in which anything happened."""
    counts = await ienerzy_figures.application_counts(db, dealer_id)
    return NbfcPortfolio.of(counts, await ienerzy_figures.months_of_loans(db, dealer_id, MONTHS_MAX))

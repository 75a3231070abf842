"""Moving money between accounts."""

FEE = 25


def transfer(source, target, cents, express=False):
    """Moves cents from one account to another; an express transfer costs the source a fee. Returns what the source paid."""
    if source is target:
        raise ValueError("an account cannot pay itself")
    paid = cents + FEE if express else cents
    source.withdraw(paid)
    target.deposit(cents)
    return paid

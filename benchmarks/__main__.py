"""`make bench`: the budgets of docs/architecture.md that exist by now. Exit status 0 whatever the figures say: they are
for people to read, on a quiet machine."""

from benchmarks import attended, forwards, guests, listing, templates


def main() -> None:
    for module in (listing, templates, guests, attended, forwards):
        for row in module.rows():
            print(row, flush=True)


if __name__ == "__main__":
    main()

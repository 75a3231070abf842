"""The command line: python3 -m inventory."""

import argparse
import sys

from .store import Store


def parser():
    top = argparse.ArgumentParser(prog="inventory", description="Keeps track of what is in the cupboard.")
    top.add_argument("--database", default="inventory.json", help="the file that holds the inventory")
    commands = top.add_subparsers(dest="command", required=True)
    put = commands.add_parser("put", help="put something into the cupboard")
    put.add_argument("name")
    put.add_argument("--amount", type=int, default=1, help="how many")
    put.add_argument("--shelf", default="top", help="where it goes")
    take = commands.add_parser("take", help="take something out")
    take.add_argument("name")
    take.add_argument("--amount", type=int, default=1, help="how many")
    show = commands.add_parser("show", help="list what is there")
    show.add_argument("--only-shelf", help="list only this shelf")
    return top


def main(argv=None):
    args = parser().parse_args(argv)
    store = Store(args.database)
    if args.command == "put":
        store.put(args.name, args.amount, args.shelf)
    elif args.command == "take":
        try:
            store.take(args.name, args.amount)
        except KeyError as error:
            print(error.args[0], file=sys.stderr)
            return 1
    else:
        for name, item in sorted(store.items.items()):
            if args.only_shelf in (None, item["shelf"]):
                print(f"{item['count']} {name} ({item['shelf']})")
    store.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What is asked for arrives inside as it was asked."""

from hypothesis import given
from hypothesis import strategies as st

from groyne.isolation.spec import Order, View

names = st.text(st.characters(exclude_characters="\0"), max_size=20)
lists = st.lists(names, max_size=3).map(tuple)
views = st.builds(View, fresh=lists, covered=lists, read_only=lists, runtime_dir=names)


@given(st.builds(Order, argv=lists, env=st.dictionaries(names, names, max_size=3), cwd=names, view=views))
def test_an_order_survives_its_journey(order: Order) -> None:
    assert Order.decode(order.encode()) == order


def test_bytes_of_a_file_name_that_are_no_text_survive() -> None:
    order = Order(argv=("ls", b"\xff.txt".decode(errors="surrogateescape")))
    assert Order.decode(order.encode()) == order

"""What a user does on the canvas of ComfyUI's page with the mouse: adds nodes, connects them, chooses in their widgets.

It is the same in both looks of the nodes, but for the widgets: the classic canvas draws them, Nodes 2.0 has elements.
"""

from __future__ import annotations

from typing import Any

from visage.tests.browser import Browser

_CANVAS = "#graph-canvas"
_RESULTS = "[data-testid=result-item]"
_SEARCH = "[role=dialog] input"


class Graph:
    """The graph that a page shows. Places are pixels of the canvas, from its left and top edge."""

    def __init__(self, page: Browser) -> None:
        self._page = page

    def new(self) -> None:
        """An empty graph, seen at its own size from its origin."""
        self._page.script("return app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
        self._page.wait(lambda: not self._page.script("return app.rootGraph.nodes.length"))
        self._page.script("app.canvas.ds.reset(); app.canvas.setDirty(true, true);")

    def search(self, text: str, place: tuple[float, float], title: str) -> None:
        """Searches in the box that a double click on the canvas opens, until a node is found."""
        self._mouse(place).double_click().perform()
        self._page.one(_SEARCH).send_keys(text)
        self._page.wait(lambda: title in self._found())

    def take(self, title: str, place: tuple[float, float]) -> None:
        """Takes a node that was found and sets it down."""
        self._found()[title].click()
        self._page.wait(lambda: not self._page.find(_SEARCH))
        self._mouse(place).click().perform()
        self._page.wait(lambda: self._is_placed(title))

    def connect(self, source: str, output: str, target: str, sink: str) -> None:
        """Pulls a link from the output of a node to the input of another."""
        start, end = self._slot(source, "outputs", output), self._slot(target, "inputs", sink)
        actions = self._mouse(start).click_and_hold()
        half = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        for place in (half, end):
            actions.move_to_element_with_offset(self._canvas, *self._from_middle(place))
        actions.release().perform()
        self._page.wait(lambda: self._node(target, f"inputs.find((slot) => slot.name === '{sink}').link !== null"))

    def choose(self, title: str, label: str, value: str) -> None:
        """Opens a list of choices and takes one."""
        if self._page.is_modern:
            number = self._node(title, "id")
            self._page.one(f"[data-node-id='{number}'] [role=combobox][aria-label='{label}']").click()
            options = "[data-testid=widget-select-default-viewport] [role=option]"
        else:
            place = self._node(title, f"widgets.find((widget) => (widget.label ?? widget.name) === '{label}').y + 10")
            left, top = self._node(title, "pos")
            self._mouse(self._on_canvas((left + self._node(title, "size[0]") / 2, top + place))).click().perform()
            options = ".litecontextmenu .litemenu-entry"
        self._page.wait(lambda: [each for each in self._page.find(options) if each.text == value])[0].click()
        self._page.wait(lambda: self.widgets(title)[label] == value)

    def widgets(self, title: str) -> dict[str, Any]:
        """The values of the widgets of a node, by the labels that are seen, in their order."""
        return dict(self._node(title, "widgets.map((widget) => [widget.label ?? widget.name, widget.value])"))

    def pictures(self, title: str) -> list[int]:
        """How wide the pictures on a node are, in Nodes 2.0."""
        shown = self._page.find(f"[data-node-id='{self._node(title, 'id')}'] img")
        return [self._page.script("return arguments[0].naturalWidth", picture) for picture in shown]

    def sockets(self, title: str) -> tuple[list[str], list[str]]:
        """What stands at the inputs that are no widgets, and at the outputs."""
        seen = "map((slot) => slot.label ?? slot.localized_name ?? slot.name)"
        return (
            self._node(title, f"inputs.filter((slot) => !slot.widget).{seen}"),
            self._node(title, f"outputs.{seen}"),
        )

    def _found(self) -> dict[str, Any]:
        """The elements of what was found, by their titles."""
        return {each.text.splitlines()[0]: each for each in self._page.find(_RESULTS)}

    @property
    def _canvas(self) -> Any:
        return self._page.one(_CANVAS)

    def _node(self, title: str, what: str) -> Any:
        code = f"const it = app.rootGraph.nodes.find((node) => node.title === arguments[0]).{what};"
        return self._page.script(f"{code} return it?.buffer ? [...it] : it;", title)

    def _is_placed(self, title: str) -> bool:
        code = "return app.rootGraph.nodes.some((node) => node.title === arguments[0] && !node.flags.ghost)"
        return bool(self._page.script(code, title))

    def _slot(self, title: str, side: str, name: str) -> tuple[float, float]:
        code = """
            const node = app.rootGraph.nodes.find((each) => each.title === arguments[0]);
            const slot = node[arguments[1]].findIndex((each) => each.name === arguments[2]);
            return [...(arguments[1] === "inputs" ? node.getInputPos(slot) : node.getOutputPos(slot))];
        """
        return self._on_canvas(self._page.script(code, title, side, name))

    def _on_canvas(self, place: Any) -> tuple[float, float]:
        """From a place of the graph."""
        left, top = self._page.script("return [...app.canvas.ds.convertOffsetToCanvas(arguments[0])]", list(place))
        return left, top

    def _from_middle(self, place: tuple[float, float]) -> tuple[int, int]:
        size = self._canvas.size
        return round(place[0] - size["width"] / 2), round(place[1] - size["height"] / 2)

    def _mouse(self, place: tuple[float, float]) -> Any:
        from selenium.webdriver import ActionChains

        return ActionChains(self._page.driver).move_to_element_with_offset(self._canvas, *self._from_middle(place))

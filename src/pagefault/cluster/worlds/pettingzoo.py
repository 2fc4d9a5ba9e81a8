"""PettingZoo environments: several players, in turn or at once (pettingzoo.farama.org, extra ``worlds``).

In turn (AEC) one player acts at a time; at once (parallel) all that are left do.  Legal actions come from
``observation["action_mask"]`` or ``info["action_mask"]``.  Games whose observations were made for networks get a
*reader* of their own here: chess is shown as a board with moves as one writes them (``e2e4``), card games as cards.

Some games need packages that we do not bring: chess needs ``chess``, which has the GPL as its licence, and ``pygame``;
card games need ``rlcard``.
"""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from pagefault.cluster.worlds.environment import (
    ActionSpace,
    IllegalAction,
    Moment,
    Parameter,
    Recipe,
    Sight,
    optional_module,
)
from pagefault.cluster.worlds.gymnasium import MASK, TERMINATED, TRUNCATED, check_legal, plain_picture, with_actions
from pagefault.cluster.worlds.spaces import SpaceActions, describe, legal_text
from pagefault.runtime.errors import ConfigError, UsageError

APIS = ("aec", "parallel")
CARD_ACTIONS = {
    "texas_holdem": ("call", "raise", "fold", "check"),
    "leduc_holdem": ("call", "raise", "fold", "check"),
    "texas_holdem_no_limit": ("fold", "check or call", "raise half the pot", "raise the pot", "all in"),
    "rps": ("rock", "paper", "scissors"),
}
"""What the numbers of these games mean, from their documentation."""


class Reader(Protocol):
    """Reads a game for its players, where its observations were made for networks."""

    space: ActionSpace

    def sight(self, player: str, mask: Any) -> Sight: ...
    def check(self, arguments: Mapping[str, Any], legal: Sequence[str] | None) -> None: ...
    def decode(self, arguments: Mapping[str, Any]) -> Any: ...
    def parting(self) -> str: ...


def pettingzoo_world(
    env_id: str,
    *,
    api: str = "aec",
    names: Sequence[str] | None = None,
    make: Callable[..., Any] | None = None,
    **options: Any,
) -> Recipe:
    """A recipe for a PettingZoo environment such as ``classic/chess-v6``, or for ``make(**options)`` under that name.

    ``api``: ``aec`` (in turn) or ``parallel`` (at once).  ``names`` are words for the actions of Discrete spaces.
    """
    if api not in APIS:
        raise ConfigError("api", api, " or ".join(APIS))
    maker = InTurn if api == "aec" else AtOnce
    given = {"env_id": env_id, "names": names, "make": make, "options": options}
    return Recipe(game_of(env_id), maker, given)


def game_of(env_id: str) -> str:
    """``chess`` for ``classic/chess-v6``."""
    return env_id.rpartition("/")[2].partition("-v")[0]


def _made(env_id: str, api: str, make: Callable[..., Any] | None, options: Mapping[str, Any]) -> Any:
    library = optional_module("pettingzoo", "pagefault[worlds]")
    if make is not None:
        return make(**options)
    known = library.aec_registry if api == "aec" else library.parallel_registry
    if env_id not in known:
        if api == "parallel" and env_id in library.aec_registry:
            raise ConfigError("api", api, f"aec: {env_id} is played in turn only")
        near = difflib.get_close_matches(env_id, known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError("id", env_id, f"a PettingZoo environment such as 'classic/connect_four-v3'{hint}")
    try:
        return library.make(api, env_id, **options)
    except ImportError as error:
        raise UsageError(
            f"{env_id} needs more than is installed: {error.__cause__ or error}; see docs/worlds.md"
        ) from error
    except TypeError as error:
        raise ConfigError("options", sorted(options), f"what {env_id} takes: {error}") from error


class _Players:
    """What both ways of playing have in common: spaces, readers, what is legal."""

    def __init__(self, env: Any, env_id: str, names: Sequence[str] | None) -> None:
        self._env = env
        self._name = game_of(env_id)
        self.players = tuple(env.possible_agents)
        self._reader: Reader | None = ChessReader(env) if self._name == "chess" else None
        names = names if names is not None else CARD_ACTIONS.get(self._name)
        self._spaces = {} if self._reader else {p: SpaceActions(env.action_space(p), names) for p in self.players}
        self.spaces: Mapping[str, ActionSpace] = (
            dict.fromkeys(self.players, self._reader.space) if self._reader else self._spaces
        )
        self._legal: dict[str, tuple[str, ...] | None] = {}

    def check(self, player: str, arguments: Mapping[str, Any]) -> None:
        """Raises :class:`~pagefault.cluster.worlds.environment.IllegalAction`."""
        if self._reader is not None:
            self._reader.check(arguments, self._legal[player])
        else:
            check_legal(self._spaces[player], self._legal[player], arguments)

    def close(self) -> None:
        self._env.close()

    def _decode(self, player: str, arguments: Mapping[str, Any]) -> Any:
        if self._reader is not None:
            return self._reader.decode(arguments)
        return self._spaces[player].decode(arguments)

    def _sight(self, player: str, observation: Any, info: Mapping[str, Any]) -> Sight:
        mask = observation[MASK] if isinstance(observation, Mapping) and MASK in observation else info.get(MASK)
        if self._reader is not None:
            sight = self._reader.sight(player, mask)
        else:
            space = self._spaces[player]
            legal = space.legal(mask) if mask is not None and space.is_discrete else None
            sight = Sight(with_actions(self._text(player, observation), space, legal), legal)
        self._legal[player] = sight.legal
        return sight

    def _text(self, player: str, observation: Any) -> str:
        cards = cards_text(self._env.unwrapped, player)
        if cards:
            return f"You are {player}.\n{cards}"
        space = self._env.observation_space(player)
        if isinstance(observation, Mapping) and MASK in observation:
            text = "\n".join(describe(space[key], observation[key]) for key in space.spaces if key != MASK)
        else:
            text = describe(space, observation)
        return f"You are {player}.\n{text}"

    def _parting(self) -> str:
        return self._reader.parting() if self._reader is not None else ""


class InTurn(_Players):
    """An environment whose players act one after the other (AEC)."""

    def __init__(
        self,
        env_id: str,
        names: Sequence[str] | None = None,
        make: Callable[..., Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(_made(env_id, "aec", make, options or {}), env_id, names)

    def reset(self, seed: int) -> Moment:
        self._env.reset(seed=seed)
        return self._next()

    def step(self, actions: Mapping[str, Mapping[str, Any]]) -> Moment:
        player = self._env.agent_selection
        self._env.step(self._decode(player, actions[player]))
        return self._next()

    def _next(self) -> Moment:
        """The next player's turn.  Players for whom it has ended are led out on the way."""
        env = self._env
        rewards: dict[str, float] = {}
        ended: dict[str, str] = {}
        while env.agents:
            player = env.agent_selection
            observation, reward, terminated, truncated, info = env.last()
            rewards[player] = rewards.get(player, 0.0) + float(reward)
            if not (terminated or truncated):
                parting = self._parting() if ended else ""
                return Moment({player: self._sight(player, observation, info)}, rewards, ended, parting)
            ended[player] = _outcome(rewards[player], terminated=bool(terminated))
            env.step(None)
        return Moment({}, rewards, ended, self._parting())


class AtOnce(_Players):
    """An environment whose players all act before it steps (parallel)."""

    def __init__(
        self,
        env_id: str,
        names: Sequence[str] | None = None,
        make: Callable[..., Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(_made(env_id, "parallel", make, options or {}), env_id, names)

    def reset(self, seed: int) -> Moment:
        observations, infos = self._env.reset(seed=seed)
        return Moment(self._sights(observations, infos))

    def step(self, actions: Mapping[str, Mapping[str, Any]]) -> Moment:
        chosen = {player: self._decode(player, arguments) for player, arguments in actions.items()}
        observations, rewards, terminations, truncations, infos = self._env.step(chosen)
        ended = {
            player: _outcome(float(rewards.get(player, 0.0)), terminated=bool(terminations[player]))
            for player in terminations
            if terminations[player] or truncations.get(player)
        }
        earned = {player: float(reward) for player, reward in rewards.items()}
        return Moment(self._sights(observations, infos), earned, ended, self._parting() if ended else "")

    def _sights(self, observations: Mapping[str, Any], infos: Mapping[str, Any]) -> dict[str, Sight]:
        return {player: self._sight(player, observations[player], infos.get(player, {})) for player in self._env.agents}


def _outcome(reward: float, *, terminated: bool) -> str:
    if not terminated:
        return TRUNCATED
    return f"{TERMINATED}, {'won' if reward > 0 else 'lost' if reward < 0 else 'neither won nor lost'}"


def cards_text(env: Any, player: str) -> str:
    """What a player of one of RLCard's games sees, as lines; empty for other games."""
    game = getattr(env, "env", None)
    if game is None or not hasattr(env, "next_legal_moves") or not hasattr(game, "get_state"):
        return ""
    seen = game.get_state(env.possible_agents.index(player)).get("raw_obs")
    if not isinstance(seen, Mapping):
        return ""
    shown = {key: value for key, value in seen.items() if key not in ("legal_actions", "current_player")}
    return "\n".join(f"{key.replace('_', ' ')}: {json.dumps(_plain(value))}" for key, value in shown.items())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str | int | float | bool | None) else getattr(value, "name", str(value))


class ChessReader:
    """Chess as people read it: the board, whose move it is, and moves from square to square."""

    class _Space:
        parameters = (Parameter("move", str, "a legal move from square to square, such as e2e4 or e7e8q"),)

        def decode(self, arguments: Mapping[str, Any]) -> Any:
            return arguments["move"]

    def __init__(self, env: Any) -> None:
        self._env = env
        self._utils = importlib.import_module("pettingzoo.classic.chess.chess_utils")
        self.space: ActionSpace = self._Space()
        self._actions: dict[str, int] = {}

    def sight(self, player: str, mask: Any) -> Sight:
        """The board with the legal moves of a mask."""
        board = self._env.unwrapped.board
        side = self._env.possible_agents.index(player)
        moves = {self._move(board, int(action), side): int(action) for action in np.flatnonzero(mask)}
        self._actions = moves
        legal = tuple(sorted(moves))
        colour = "black, the small letters" if side else "white, the capital letters"
        last = f"Last move: {board.peek().uci()}. " if board.move_stack else ""
        check = "You are in check. " if board.is_check() else ""
        text = f"{board_text(board)}\nYou are {colour}. {last}{check}Move {board.fullmove_number}."
        return Sight(f"{text}\nLegal moves: {legal_text(legal)}", legal)

    def _move(self, board: Any, action: int, side: int) -> str:
        return str(self._utils.action_to_move(board, action, side).uci())

    def check(self, arguments: Mapping[str, Any], legal: Sequence[str] | None) -> None:
        """Raises :class:`~pagefault.cluster.worlds.environment.IllegalAction`."""
        if arguments["move"] not in (legal or ()):
            raise IllegalAction(f"{arguments['move']!r} is not legal now. Legal are: {legal_text(legal or ())}.")

    def decode(self, arguments: Mapping[str, Any]) -> Any:
        """The number of a move that was checked."""
        return self._actions[arguments["move"]]

    def parting(self) -> str:
        """The board as it is."""
        return board_text(self._env.unwrapped.board)


def board_text(board: Any) -> str:
    """A chess board with its coordinates, white below."""
    rows = plain_picture(board).split("\n")
    return "\n".join([*(f"{8 - place} {row}" for place, row in enumerate(rows)), "  a b c d e f g h"])

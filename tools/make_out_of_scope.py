"""Write the texts of CLINC150 that no home command is: to learn from, and to measure with.

Usage: make_out_of_scope.py TRAIN TEST. TRAIN gets the training texts of the intents that a home
doesn't have; TEST gets ``oos_test``, which no artifact learns from.
"""

import csv
import sys
from pathlib import Path

from neuralbits.model_training.data import public

HOME = {
    "alarm",
    "are_you_a_bot",
    "calendar",
    "calendar_update",
    "cancel",
    "change_accent",
    "change_ai_name",
    "change_language",
    "change_speed",
    "change_user_name",
    "change_volume",
    "date",
    "find_phone",
    "goodbye",
    "greeting",
    "make_call",
    "maybe",
    "meeting_schedule",
    "next_song",
    "no",
    "order",
    "play_music",
    "reminder",
    "reminder_update",
    "repeat",
    "reset_settings",
    "schedule_meeting",
    "shopping_list",
    "shopping_list_update",
    "smart_home",
    "sync_device",
    "text",
    "thank_you",
    "time",
    "timer",
    "timezone",
    "todo_list",
    "todo_list_update",
    "update_playlist",
    "user_name",
    "weather",
    "what_can_i_ask_you",
    "what_is_your_name",
    "what_song",
    "whisper_mode",
    "who_do_you_work_for",
    "who_made_you",
    "yes",
}
"""Intents that a home has, or whose texts mean something to its assistant."""


def main(train: Path, test: Path) -> None:
    """Write both files."""
    folder = public.folder(public.PUBLIC["clinc150"])
    for source, output in (("train.csv", train), ("oos_test.csv", test)):
        with (folder / source).open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["intent"] not in HOME]
        with output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["text", "intent"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))

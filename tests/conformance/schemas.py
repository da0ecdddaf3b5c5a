"""Validators of the central system's own answers, from the schemas that the `ocpp` package ships."""

from functools import cache

import jsonschema_rs

from protocols.ocpp.schemas import Validator, load_schema
from protocols.ocpp.surface import Version


class AnswerValidator:
    """Says what is wrong with an answer."""

    def __init__(self, validator: Validator, name: str) -> None:
        self._validator = validator
        self._name = name

    def validate(self, answer: object) -> None:
        """Raises `AssertionError` where `answer` breaks its schema."""
        errors = [error.message for error in self._validator.iter_errors(answer)]
        assert not errors, f"our answer to {self._name} breaks its schema: {errors}: {answer}"


@cache
def answer_schema(version: Version, action: str) -> AnswerValidator:
    """The validator of what we answer to `action`."""
    schema = load_schema(version, action, is_answer=True)
    return AnswerValidator(jsonschema_rs.validator_for(schema, validate_formats=False), action)

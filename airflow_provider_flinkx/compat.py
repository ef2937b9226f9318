"""Names whose home differs between Airflow 2.11 and 3.3, and nothing else; the newest home first.

Own code, because Airflow's constraint files hold a `common-compat` distribution that is too old to have these names.
"""

from __future__ import annotations

__all__ = [
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "Connection",
    "Context",
    "Variable",
    "XCom",
    "conf",
    "mask_secret",
]

try:
    from airflow.sdk import DAG, BaseOperator, BaseOperatorLink, Connection, Context, Variable
    from airflow.sdk.execution_time.xcom import XCom
    from airflow.sdk.log import mask_secret
except ImportError:  # 2.11
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.baseoperatorlink import BaseOperatorLink
    from airflow.models.connection import Connection
    from airflow.models.dag import DAG
    from airflow.models.variable import Variable
    from airflow.models.xcom import XCom
    from airflow.utils.context import Context
    from airflow.utils.log.secrets_masker import mask_secret

try:
    from airflow.sdk import BaseHook
except ImportError:  # 2.11, 3.0
    from airflow.hooks.base import BaseHook

try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException
except ImportError:  # 2.11, 3.0, 3.1
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

try:
    from airflow.sdk.configuration import conf
except ImportError:  # 2.11, 3.0, 3.1
    from airflow.configuration import conf

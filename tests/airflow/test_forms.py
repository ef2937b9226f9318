"""The connection forms in a real browser, on the web server of the installed Airflow, with a real PostgreSQL."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
import urllib.request

import pytest

from airflow_provider_flinkx.hooks.connection import CONNECTION as FLINK
from airflow_provider_flinkx.plugins.connection import connection_types
from tests.servers import LOCALHOST, OwnedProcess, await_condition, free_port

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

AIRFLOW_3 = int(importlib.metadata.version("apache-airflow").partition(".")[0]) >= 3
SECONDS = 90
TYPES = {declared.conn_type: declared for declared in (FLINK, *connection_types())}
STANDARD_LABELS = {"host": "Host", "login": "Login", "password": "Password", "port": "Port", "schema": "Schema"}


@pytest.fixture(scope="module")
def server(airflow_home):
    """Address of a running API server (Airflow 3) or web server (Airflow 2) that asks for no login."""
    port = free_port()
    secret = "only-for-tests-only-for-tests-only-for-tests-only-for-tests-0001"
    environment = {
        **airflow_home.environment,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__BASE_URL": f"http://{LOCALHOST}:{port}",
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__WEBSERVER__SECRET_KEY": secret,
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default" if not AIRFLOW_3 else "",
        "no_proxy": LOCALHOST,
    }
    (airflow_home.home / "webserver_config.py").write_text('AUTH_ROLE_PUBLIC = "Admin"\nWTF_CSRF_ENABLED = True\n')
    command = "api-server --host" if AIRFLOW_3 else "webserver --hostname"
    process = OwnedProcess(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "airflow",
            *command.split(),
            LOCALHOST,
            "--workers",
            "1",
            "--port",
            str(port),
        ],
        log=airflow_home.home / "server.log",
        cwd=airflow_home.home,
        environment=environment,
    )
    address = f"http://{LOCALHOST}:{port}"
    try:
        process.await_ready(lambda: process.listens_on(port) and answers(address), "Airflow's web server")
        yield address
    finally:
        process.stop()


def answers(address):
    try:
        with urllib.request.urlopen(f"{address}/{'api/v2/version' if AIRFLOW_3 else 'health'}", timeout=30) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a window."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("NOT TESTED, BROWSER MISSING: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.add_argument("--window-size=1500,1400")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    browser = webdriver.Chrome(service=webdriver.ChromeService(driver), options=options)
    yield browser
    browser.quit()


class Form2:
    """The form of Airflow 2: one page, labels in the rows of a table, a button that tests what is typed."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        self.wait = patience(browser)

    def open(self, declared):
        self.browser.get(f"{self.address}/connection/add")
        self.wait.until(lambda browser: browser.find_element(By.ID, "conn_type"))
        script = (
            "const s = jQuery('#conn_type'); s.val(arguments[0]).trigger('change'); return s.find(':selected').text()"
        )
        assert self.browser.execute_script(script, declared.conn_type) == declared.name

    def labels(self, declared):
        rows = self.browser.find_elements(By.XPATH, "//form//label")
        return {row.text.strip(" *") for row in rows if row.is_displayed() and row.text.strip(" *")}

    def fill(self, declared, values):
        names = {field.name for field in declared.fields}
        for name, value in values.items():
            element = self.browser.find_element(
                By.ID, f"extra__{declared.conn_type}__{name}" if name in names else name
            )
            element.clear()
            element.send_keys(str(value))

    def set_id(self, connection_id):
        self.browser.find_element(By.ID, "conn_id").send_keys(connection_id)

    def test(self, connection_id):
        self.browser.execute_script("document.querySelectorAll('.alert').forEach(alert => alert.remove())")
        button = self.browser.find_element(By.ID, "test-connection")
        self.browser.execute_script("arguments[0].click()", button)
        return self.wait.until(
            lambda browser: " ".join(alert.text for alert in browser.find_elements(By.CSS_SELECTOR, ".alert"))
        )

    def save(self):
        self.browser.execute_script("document.getElementById('conn_type').form.requestSubmit()")
        self.wait.until(lambda browser: "Added Row" in browser.find_element(By.TAG_NAME, "body").text)


class Form3:
    """The form of Airflow 3: a dialog with foldable sections; the button that tests stands in the list."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        self.wait = patience(browser)

    def open(self, declared):
        self.browser.get(self.address)
        self.wait.until(
            lambda browser: browser.find_elements(By.TAG_NAME, "nav") or browser.find_elements(By.TAG_NAME, "a")
        )
        self.browser.get(f"{self.address}/connections")
        self._click("//button[contains(., 'Add Connection')]")
        kind = self._find("//*[@role='dialog']//input[@role='combobox']")
        kind.send_keys(declared.name)
        self._click(f"//*[@role='option'][normalize-space()='{declared.name}']")

    def labels(self, declared):
        return self._labels("Standard Fields") | (self._labels("Extra Fields") if declared.fields else set())

    def fill(self, declared, values):
        for field in declared.fields:
            if field.name in values:
                self._unfold("Extra Fields")
                if field.choices:
                    self._choose(field.label, values[field.name])
                else:
                    self._type(f"element_{field.name}", values[field.name])
        for name in STANDARD_LABELS.keys() & values.keys():
            self._unfold("Standard Fields")
            self._type(name, values[name])

    def set_id(self, connection_id):
        self._find("//*[@role='dialog']//input[@name='connection_id']").send_keys(connection_id)

    def test(self, connection_id):
        self._click(f"//tr[contains(., '{connection_id}')]//button[@aria-label='Test Connection']")
        toast = "//*[@data-scope='toast' and @role='status']"
        return self.wait.until(
            lambda browser: " ".join(
                f"{found.get_attribute('data-type')} {found.text}"
                for found in browser.find_elements(By.XPATH, toast)
                if "Test Connection" in found.text
            )
        )

    def save(self):
        self._click("//*[@role='dialog']//button[normalize-space()='Save']")
        self.wait.until(lambda browser: not browser.find_elements(By.XPATH, "//*[@role='dialog']"))

    def _find(self, path):
        return self.wait.until(lambda browser: next(iter(browser.find_elements(By.XPATH, path)), None))

    def _click(self, path):
        self._find(path)
        self.wait.until(lambda browser: click(browser, path))

    def _unfold(self, title):
        path = f"//*[@role='dialog']//button[@aria-expanded][normalize-space()='{title}']"
        if self._find(path).get_attribute("aria-expanded") == "false":
            self._click(path)
        self.wait.until(lambda browser: self._find(path).get_attribute("aria-expanded") == "true")

    def _labels(self, section):
        self._unfold(section)
        found = self.browser.find_elements(By.XPATH, "//*[@role='dialog']//label")
        return {label.text.split("\n")[0] for label in found if label.text}

    def _type(self, name, value):
        path = f"//*[@role='dialog']//*[self::input or self::textarea][@name='{name}']"
        element = self.wait.until(lambda browser: displayed(browser, path))
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(str(value), Keys.TAB)

    def _choose(self, label, value):
        path = f"//*[@role='dialog']//label[contains(., '{label}')]/following::input[@role='combobox'][1]"
        self._find(path).send_keys(value)
        self._click(f"//*[@role='option'][normalize-space()='{value}']")


def patience(browser):
    """Waits, also through what the page draws anew or takes away between two looks."""
    passing = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, SECONDS, ignored_exceptions=passing)


def click(browser, path):
    from selenium.common.exceptions import WebDriverException

    try:
        browser.find_element(By.XPATH, path).click()
    except WebDriverException:  # still moving, or drawn anew
        return False
    return True


def displayed(browser, path):
    return next((element for element in browser.find_elements(By.XPATH, path) if element.is_displayed()), None)


@pytest.fixture
def form(browser, server):
    """The form of the installed Airflow."""
    return (Form3 if AIRFLOW_3 else Form2)(browser, server)


@pytest.mark.parametrize("conn_type", sorted(TYPES))
def test_each_type_shows_its_own_fields_and_hides_the_others(form, conn_type):
    declared = TYPES[conn_type]
    form.open(declared)
    expected = {
        declared.relabel.get(name, label) for name, label in STANDARD_LABELS.items() if name not in declared.hidden
    }
    expected |= {field.label for field in declared.fields}
    await_condition(lambda: form.labels(declared) >= expected, SECONDS, f"labels {expected}")
    hidden = {STANDARD_LABELS[name] for name in declared.hidden} | {STANDARD_LABELS[name] for name in declared.relabel}
    assert not form.labels(declared) & (hidden - expected)


@pytest.mark.parametrize(("connection_id", "right"), [("right_login", True), ("wrong_login", False)])
def test_the_test_button_logs_in(form, airflow_home, postgres, connection_id, right):
    declared = TYPES["flinkx_postgresql"]
    password = postgres.password if right else "not-the-password"
    form.open(declared)
    form.set_id(connection_id)
    values = {
        "host": postgres.host,
        "port": postgres.port,
        "login": postgres.user,
        "password": password,
        "schema": postgres.database,
    }
    form.fill(declared, {**values, "sslmode": "disable", "url_parameters": "application_name=form"})
    if AIRFLOW_3:
        form.save()
    said = form.test(connection_id)
    if right:
        assert "success" in said.lower() or "logged in: PostgreSQL" in said, said
    else:
        assert "password authentication failed" in said
    assert password not in said
    if not AIRFLOW_3:
        form.save()
    stored = airflow_home.command("connections", "get", connection_id, "-o", "json").stdout
    connection = json.loads(stored[stored.index("[{") :])[0]
    extra = connection["extra_dejson"]
    extra = json.loads(extra.replace("'", '"')) if isinstance(extra, str) else extra
    assert {name: value for name, value in extra.items() if value} == {
        "sslmode": "disable",
        "url_parameters": "application_name=form",
    }
    assert connection["conn_type"] == declared.conn_type

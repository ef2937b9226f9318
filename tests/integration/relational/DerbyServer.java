import java.io.PrintWriter;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.derby.drda.NetworkServerControl;

/**
 * A stand-in for DB2: Apache Derby, which speaks DB2's wire protocol. It is not DB2.
 *
 * <p>Arguments: port, database, user, password. The database is made in this process, with views in the schema
 * CATALOG that have the columns of DB2's SYSCAT which the project reads; Derby lets nobody write into SYSCAT. The
 * server ends when its standard input closes.
 */
public final class DerbyServer {
  private DerbyServer() {}

  public static void main(String[] arguments) throws Exception {
    String url = "jdbc:derby:" + arguments[1];
    try (Connection connection = DriverManager.getConnection(url + ";create=true", arguments[2], arguments[3]);
        Statement statement = connection.createStatement()) {
      for (String text : VIEWS) {
        statement.execute(text);
      }
    }
    NetworkServerControl server =
        new NetworkServerControl(InetAddress.getByName("127.0.0.1"), Integer.parseInt(arguments[0]));
    server.start(new PrintWriter(System.out, true));
    while (System.in.read() != -1) {
      // Nothing is said here: only its end counts.
    }
    System.exit(0);
  }

  private static final String NAME = " VARCHAR(128)";
  /** What Derby calls otherwise. */
  private static final Map<String, String> NAMES = Map.of("CHAR", "CHARACTER", "NUMERIC", "DECIMAL");
  private static final String[] VIEWS = {
    "CREATE SCHEMA CATALOG",
    "CREATE FUNCTION CATALOG.ALL_COLUMNS() RETURNS TABLE (TABSCHEMA" + NAME + ", TABNAME" + NAME + ", COLNAME" + NAME
        + ", COLNO INTEGER, TYPESCHEMA" + NAME + ", TYPENAME" + NAME + ", LENGTH INTEGER, SCALE INTEGER, "
        + "CODEPAGE INTEGER, TYPESTRINGUNITS" + NAME + ", NULLS VARCHAR(1), GENERATED VARCHAR(1), "
        + "STRINGUNITSLENGTH INTEGER, KEYSEQ INTEGER) "
        + "LANGUAGE JAVA PARAMETER STYLE DERBY_JDBC_RESULT_SET READS SQL DATA "
        + "EXTERNAL NAME 'DerbyServer.columns'",
    "CREATE VIEW CATALOG.COLUMNS AS SELECT * FROM TABLE (CATALOG.ALL_COLUMNS()) t",
    "CREATE FUNCTION CATALOG.ALL_INDEXES() RETURNS TABLE (INDSCHEMA" + NAME + ", INDNAME" + NAME + ", TABSCHEMA" + NAME
        + ", TABNAME" + NAME + ", UNIQUERULE VARCHAR(1), COLNAME" + NAME + ", COLSEQ INTEGER, COLORDER VARCHAR(1)) "
        + "LANGUAGE JAVA PARAMETER STYLE DERBY_JDBC_RESULT_SET READS SQL DATA "
        + "EXTERNAL NAME 'DerbyServer.indexes'",
    "CREATE VIEW CATALOG.INDEXES AS SELECT INDSCHEMA, INDNAME, TABSCHEMA, TABNAME, UNIQUERULE "
        + "FROM TABLE (CATALOG.ALL_INDEXES()) t WHERE COLSEQ = 1",
    "CREATE VIEW CATALOG.INDEXCOLUSE AS SELECT INDSCHEMA, INDNAME, COLNAME, COLSEQ, COLORDER "
        + "FROM TABLE (CATALOG.ALL_INDEXES()) t",
    "CREATE VIEW CATALOG.TABLES AS SELECT s.SCHEMANAME AS TABSCHEMA, t.TABLENAME AS TABNAME, "
        + "CAST(t.TABLETYPE AS VARCHAR(1)) AS TYPE, CAST(-1 AS BIGINT) AS CARD "
        + "FROM SYS.SYSTABLES t JOIN SYS.SYSSCHEMAS s ON s.SCHEMAID = t.SCHEMAID",
    "CREATE TABLE CATALOG.DATATYPES (TYPESCHEMA" + NAME + ", TYPENAME" + NAME + ", SOURCENAME" + NAME
        + ", METATYPE VARCHAR(1), LENGTH INTEGER, SCALE INTEGER)",
    "CREATE VIEW CATALOG.\"REFERENCES\" AS SELECT cs.SCHEMANAME AS TABSCHEMA, ct.TABLENAME AS TABNAME, "
        + "ps.SCHEMANAME AS REFTABSCHEMA, pt.TABLENAME AS REFTABNAME FROM SYS.SYSFOREIGNKEYS f "
        + "JOIN SYS.SYSCONSTRAINTS c ON c.CONSTRAINTID = f.CONSTRAINTID "
        + "JOIN SYS.SYSTABLES ct ON ct.TABLEID = c.TABLEID JOIN SYS.SYSSCHEMAS cs ON cs.SCHEMAID = ct.SCHEMAID "
        + "JOIN SYS.SYSCONSTRAINTS p ON p.CONSTRAINTID = f.KEYCONSTRAINTID "
        + "JOIN SYS.SYSTABLES pt ON pt.TABLEID = p.TABLEID JOIN SYS.SYSSCHEMAS ps ON ps.SCHEMAID = pt.SCHEMAID",
  };

  /** All columns of all tables, as SYSCAT.COLUMNS has them. */
  public static ResultSet columns() throws SQLException {
    List<Object[]> rows = new ArrayList<>();
    Map<String, Integer> keys = keyPlaces();
    try (ResultSet found = metadata().getColumns(null, null, "%", "%")) {
      while (found.next()) {
        String type = found.getString("TYPE_NAME").toUpperCase(Locale.ROOT);
        boolean bits = type.endsWith("FOR BIT DATA");
        String name = type.replaceAll("\\(.*?\\)| FOR BIT DATA", "").replaceAll("  +", " ").trim();
        rows.add(new Object[] {
          found.getString("TABLE_SCHEM"), found.getString("TABLE_NAME"), found.getString("COLUMN_NAME"),
          found.getInt("ORDINAL_POSITION") - 1, "SYSIBM", NAMES.getOrDefault(name, name),
          found.getInt("COLUMN_SIZE"), name.equals("TIMESTAMP") ? 6 : found.getInt("DECIMAL_DIGITS"),
          bits ? 0 : 1208, bits ? null : "CODEUNITS32",
          found.getInt("NULLABLE") == DatabaseMetaData.columnNoNulls ? "N" : "Y", " ", null,
          keys.get(
              found.getString("TABLE_SCHEM") + "." + found.getString("TABLE_NAME") + "."
                  + found.getString("COLUMN_NAME")),
        });
      }
    }
    return result(rows);
  }

  /** The columns of all primary keys, and their places in these. */
  private static Map<String, Integer> keyPlaces() throws SQLException {
    Map<String, Integer> places = new HashMap<>();
    try (ResultSet tables = metadata().getTables(null, null, "%", new String[] {"TABLE"})) {
      while (tables.next()) {
        String table = tables.getString("TABLE_SCHEM") + "." + tables.getString("TABLE_NAME") + ".";
        try (ResultSet keys =
            metadata().getPrimaryKeys(null, tables.getString("TABLE_SCHEM"), tables.getString("TABLE_NAME"))) {
          while (keys.next()) {
            places.put(table + keys.getString("COLUMN_NAME"), keys.getInt("KEY_SEQ"));
          }
        }
      }
    }
    return places;
  }

  /** All columns of all indexes, with what SYSCAT.INDEXES says of the index. */
  public static ResultSet indexes() throws SQLException {
    List<Object[]> rows = new ArrayList<>();
    try (ResultSet tables = metadata().getTables(null, null, "%", new String[] {"TABLE"})) {
      while (tables.next()) {
        String schema = tables.getString("TABLE_SCHEM");
        String table = tables.getString("TABLE_NAME");
        Set<String> primary = new HashSet<>();
        try (ResultSet keys = metadata().getPrimaryKeys(null, schema, table)) {
          while (keys.next()) {
            primary.add(keys.getString("COLUMN_NAME"));
          }
        }
        addIndexes(rows, schema, table, primary);
      }
    }
    return result(rows);
  }

  private static void addIndexes(List<Object[]> rows, String schema, String table, Set<String> primary)
      throws SQLException {
    Map<String, Set<String>> columns = new HashMap<>();
    List<Object[]> added = new ArrayList<>();
    try (ResultSet found = metadata().getIndexInfo(null, schema, table, false, true)) {
      while (found.next()) {
        String index = found.getString("INDEX_NAME");
        String column = found.getString("COLUMN_NAME");
        columns.computeIfAbsent(index, name -> new HashSet<>()).add(column);
        added.add(new Object[] {
          schema, index, schema, table, found.getBoolean("NON_UNIQUE") ? "D" : "U", column,
          found.getInt("ORDINAL_POSITION"), found.getString("ASC_OR_DESC"),
        });
      }
    }
    for (Object[] row : added) {
      if (row[4].equals("U") && columns.get(row[1]).equals(primary)) {
        row[4] = "P";
      }
      rows.add(row);
    }
  }

  private static DatabaseMetaData metadata() throws SQLException {
    return DriverManager.getConnection("jdbc:default:connection").getMetaData();
  }

  /** Rows as a result; Derby asks for the next row and for texts and numbers by their place. */
  private static ResultSet result(List<Object[]> rows) {
    Iterator<Object[]> rest = rows.iterator();
    Object[][] current = new Object[2][]; // the row, and whether the last value of it was one
    return (ResultSet) Proxy.newProxyInstance(
        DerbyServer.class.getClassLoader(),
        new Class<?>[] {ResultSet.class},
        (proxy, method, arguments) -> {
          switch (method.getName()) {
            case "next":
              current[0] = rest.hasNext() ? rest.next() : null;
              return current[0] != null;
            case "getString":
            case "getInt":
              Object value = current[0][(Integer) arguments[0] - 1];
              current[1] = value == null ? null : new Object[0];
              return value == null && method.getName().equals("getInt") ? Integer.valueOf(0) : value;
            case "wasNull":
              return current[1] == null;
            case "close":
              return null;
            default:
              throw new UnsupportedOperationException(method.getName());
          }
        });
  }
}

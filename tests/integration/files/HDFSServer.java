import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;

/**
 * A highly available HDFS in one JVM: real NameNodes and a real DataNode.
 *
 * <p>Arguments: folder, port of each of the two NameNodes. Answers on the file {@code answers} in the folder. Lines
 * on standard input: {@code failover N}, {@code stop N}; its end stops everything.
 */
public class HDFSServer {
  public static void main(String[] arguments) throws Exception {
    File folder = new File(arguments[0]);
    Configuration configuration = new Configuration();
    configuration.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, new File(folder, "dfs").getPath());
    configuration.set("dfs.permissions.superusergroup", "root");
    MiniDFSNNTopology topology =
        new MiniDFSNNTopology()
            .addNameservice(
                new MiniDFSNNTopology.NSConf("ns1")
                    .addNN(nameNode("nn1", arguments[1]))
                    .addNN(nameNode("nn2", arguments[2])));
    MiniDFSCluster cluster =
        new MiniDFSCluster.Builder(configuration).nnTopology(topology).numDataNodes(1).format(true).build();
    cluster.transitionToActive(0);
    cluster.waitActive();
    Path answers = folder.toPath().resolve("answers");
    Files.writeString(answers, "ready\n");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = commands.readLine()) != null; ) {
      String[] words = line.trim().split(" ");
      int number = Integer.parseInt(words[1]);
      if (words[0].equals("failover")) {
        cluster.transitionToStandby(1 - number);
        cluster.transitionToActive(number);
      } else {
        cluster.shutdownNameNode(number);
        cluster.transitionToActive(1 - number);
      }
      Files.writeString(answers, Files.readString(answers) + line + "\n");
    }
    System.exit(0);
  }

  private static MiniDFSNNTopology.NNConf nameNode(String name, String port) {
    return new MiniDFSNNTopology.NNConf(name).setIpcPort(Integer.parseInt(port)).setHttpPort(0);
  }
}

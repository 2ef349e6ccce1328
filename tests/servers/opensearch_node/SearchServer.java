import org.codelibs.opensearch.runner.OpenSearchRunner;

/** A real OpenSearch node on loopback. Arguments: HTTP port, data folder. Prints READY. */
public class SearchServer {
  public static void main(String[] args) throws Exception {
    int port = Integer.parseInt(args[0]);
    OpenSearchRunner runner = new OpenSearchRunner();
    runner.onBuild((node, settings) -> {
      settings.put("http.host", "127.0.0.1");
      settings.put("http.port", port);
      settings.put("transport.host", "127.0.0.1");
      settings.put("transport.port", 0);
      settings.put("discovery.type", "single-node");
      settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
      settings.putList("discovery.seed_hosts");
    });
    runner.build(OpenSearchRunner.newConfigs().clusterName("test").numOfNode(1).basePath(args[1]).useLogger());
    runner.ensureYellow();
    System.out.println("READY");
    Thread.currentThread().join();
  }
}

// Pools of threads, parallel streams, a server and its clients, garbage to collect, a file, an exit status.
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Mixed {
    static int echoed(int port, int n) throws IOException {
        try (Socket socket = new Socket("127.0.0.1", port);
             BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream()))) {
            OutputStream out = socket.getOutputStream();
            int total = 0;
            for (int i = 0; i < 5; i++) {
                out.write((n + " " + i + "\n").getBytes());
                total += in.readLine().length();
            }
            return total;
        }
    }

    static void serve(Socket socket) {
        try (socket; BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream()))) {
            for (String line; (line = in.readLine()) != null; ) socket.getOutputStream().write(("echo " + line + "\n").getBytes());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        for (int turn = 0; turn < 5; turn++) {
            List<Future<Integer>> results = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                int n = turn * 10 + i;
                results.add(pool.submit(() -> n * n));
            }
            int sum = 0;
            for (Future<Integer> result : results) sum += result.get();
            System.out.println(turn + " " + sum);
            Thread.sleep(5);
        }
        System.out.println(IntStream.range(0, 200_000).parallel().mapToLong(i -> (long) i * i % 7).sum());
        try (ServerSocket server = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"))) {
            Thread accepting = new Thread(() -> {
                try {
                    for (int i = 0; i < 8; i++) {
                        Socket socket = server.accept();
                        new Thread(() -> serve(socket)).start();
                    }
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
            accepting.start();
            List<Future<Integer>> clients = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                int n = i;
                clients.add(pool.submit(() -> echoed(server.getLocalPort(), n)));
            }
            for (Future<Integer> client : clients) System.out.println(client.get());
            accepting.join();
        }
        long garbage = 0;
        for (int i = 0; i < 200; i++) garbage += new byte[100_000].length;
        System.gc();
        Map<String, Integer> words = new ConcurrentHashMap<>();
        IntStream.range(0, 5_000).parallel().forEach(i -> words.merge("word " + i % 13, 1, Integer::sum));
        System.out.println(garbage + " " + new TreeMap<>(words));
        Path file = Path.of("lines");
        Files.write(file, IntStream.range(0, 200).mapToObj(i -> "line " + i).collect(Collectors.toList()));
        System.out.println(Files.lines(file).sorted(Comparator.reverseOrder()).findFirst().get());
        pool.shutdown();
        System.exit(3);
    }
}

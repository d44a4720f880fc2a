// Java's own clients, old and new, no library.
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Fetch {
    public static void main(String[] arguments) throws Exception {
        var uri = URI.create(arguments[0]);
        var old = (HttpURLConnection) uri.toURL().openConnection();
        System.out.println("old " + old.getResponseCode());
        var request = HttpRequest.newBuilder(uri).build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println("new " + answer.statusCode() + " " + answer.version());
    }
}

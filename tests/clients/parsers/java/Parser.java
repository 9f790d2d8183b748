// For files.py: what the AWS SDK for Java, version 2, reads in the files named on standard input.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Collectors;
import software.amazon.awssdk.profiles.Profile;
import software.amazon.awssdk.profiles.ProfileFile;

public class Parser {
    public static void main(String[] arguments) throws Exception {
        var names = new BufferedReader(new InputStreamReader(System.in));
        for (String name; (name = names.readLine()) != null; ) {
            System.out.println(read(Path.of(name)));
        }
    }

    private static String read(Path path) {
        Map<String, Profile> profiles;
        try {
            profiles = ProfileFile.builder().content(path).type(ProfileFile.Type.CREDENTIALS).build().profiles();
        } catch (IllegalArgumentException refused) {
            return "null";
        }
        return profiles.entrySet().stream()
                .map(profile -> text(profile.getKey()) + ":" + object(profile.getValue().properties()))
                .collect(Collectors.joining(",", "{", "}"));
    }

    private static String object(Map<String, String> properties) {
        return properties.entrySet().stream()
                .map(property -> text(property.getKey()) + ":" + text(property.getValue()))
                .collect(Collectors.joining(",", "{", "}"));
    }

    private static String text(String value) {
        var text = new StringBuilder("\"");
        value.chars().forEach(c -> text.append(c < ' ' || c == '"' || c == '\\' || c > '~'
                ? String.format("\\u%04x", c)
                : Character.toString((char) c)));
        return text.append('"').toString();
    }
}

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;

/**
 * Which credentials the SDK for Java takes, in one environment after the other: a JSON object of
 * variables a line. The map behind System.getenv is changed, which needs
 * --add-opens java.base/java.lang=ALL-UNNAMED.
 */
public final class Chain {
    private static final String PATH = System.getenv("PATH");

    private final Map<Object, Object> environment;
    private final Method variable;
    private final Method value;

    public static void main(String[] arguments) throws Exception {
        Chain chain = new Chain();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            chain.setEnvironment(JsonNode.parser().parse(line).asObject());
            String said;
            try (DefaultCredentialsProvider provider = DefaultCredentialsProvider.builder().build()) {
                said = "key\":\"" + provider.resolveCredentials().accessKeyId();
            } catch (Exception error) {
                said = "error\":\"" + error.toString();
            }
            System.out.println("{\"" + escaped(said) + "\"}");
        }
    }

    @SuppressWarnings("unchecked")
    private Chain() throws ReflectiveOperationException {
        Class<?> process = Class.forName("java.lang.ProcessEnvironment");
        Field map = process.getDeclaredField("theEnvironment");
        map.setAccessible(true);
        environment = (Map<Object, Object>) map.get(null);
        variable = valueOf("java.lang.ProcessEnvironment$Variable");
        value = valueOf("java.lang.ProcessEnvironment$Value");
    }

    private static Method valueOf(String name) throws ReflectiveOperationException {
        Method method = Class.forName(name).getDeclaredMethod("valueOf", String.class);
        method.setAccessible(true);
        return method;
    }

    private void setEnvironment(Map<String, JsonNode> variables) throws ReflectiveOperationException {
        environment.clear();
        environment.put(variable.invoke(null, "PATH"), value.invoke(null, PATH));
        for (Map.Entry<String, JsonNode> entry : variables.entrySet()) {
            Object name = variable.invoke(null, entry.getKey());
            environment.put(name, value.invoke(null, entry.getValue().text()));
        }
    }

    /** All but the quotes of the two members. */
    private static String escaped(String member) {
        int at = member.indexOf("\":\"") + 3;
        String text = member.substring(at).replace("\\", "/").replace("\"", "'");
        return member.substring(0, at) + text.replaceAll("\\p{Cntrl}", " ");
    }
}

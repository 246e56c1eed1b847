using System.Security.Cryptography;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>A failure, of which the client learns a number and the log all.</summary>
internal static class Incident
{
    /// <summary>Writes it into the log.</summary>
    /// <returns>The number under which it stands there.</returns>
    public static string Tell(TextWriter log, Exception exception)
    {
        var reference = RandomNumberGenerator.GetHexString(12, lowercase: true);
        log.WriteLine($"request failed ({reference}): {(exception is Engine.Serving.InferenceFailedException ? exception.Message : exception)}");
        return reference;
    }
}

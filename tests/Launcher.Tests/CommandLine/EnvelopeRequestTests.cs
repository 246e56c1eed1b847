using Distributed.Launcher.CommandLine;

namespace Distributed.Launcher.Tests.CommandLine;

/// <summary>Which programs are told the job's secret: those whose runtimeconfig.json asks, and no others.</summary>
public sealed class EnvelopeRequestTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("distrun-").FullName;

    [Theory]
    [InlineData("""{"runtimeOptions":{"configProperties":{"Distributed.TakesEnvelope":true}}}""", true)]
    [InlineData("""{"runtimeOptions":{"configProperties":{"Distributed.TakesEnvelope":false}}}""", false)]
    [InlineData("""{"runtimeOptions":{"configProperties":{"Distributed.TakesEnvelope":"true"}}}""", false)]
    [InlineData("""{"runtimeOptions":{"tfm":"net10.0"}}""", false)]
    [InlineData("[]", false)]
    [InlineData("{", false)]
    public void TakesEnvelope_IsWhatTheRuntimeConfigurationSays(string configuration, bool expected)
    {
        var path = Path.Combine(_folder, "hello");
        File.WriteAllText(path + ".runtimeconfig.json", configuration);
        Assert.Equal(expected, new WorkerProgram("hello", path, ["7"], IsBundled: false).TakesEnvelope);
        Assert.Equal(expected, new WorkerProgram("hello.dll", "/usr/bin/dotnet", ["exec", path + ".dll", "7"], IsBundled: false).TakesEnvelope);
        Assert.Equal(expected, new WorkerProgram("hello.dll", "dotnet", ["--roll-forward", "Major", path + ".dll", "7"], IsBundled: false).TakesEnvelope);
        Assert.False(new WorkerProgram("other", "/usr/bin/other", [path + ".dll"], IsBundled: false).TakesEnvelope);
    }

    [Fact]
    public void TakesEnvelope_OfAProgramWithoutConfiguration_IsTheBundledWorkersOnly()
    {
        var path = Path.Combine(_folder, "other");
        Assert.False(new WorkerProgram("other", path, [], IsBundled: false).TakesEnvelope);
        Assert.True(new WorkerProgram("worker", path, [], IsBundled: true).TakesEnvelope);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}

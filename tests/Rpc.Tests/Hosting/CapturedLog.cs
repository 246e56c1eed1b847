using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Distributed.Rpc.Tests.Hosting;

/// <summary>Keeps what a host logs.</summary>
internal sealed class CapturedLog : ILoggerProvider
{
    /// <summary>Where the official packages report every call that was cancelled under its handler as an error.</summary>
    private const string OfficialCalls = "Grpc.AspNetCore.Server.ServerCallHandler";

    private readonly ConcurrentQueue<Entry> _entries = new();

    public IReadOnlyList<Entry> Entries => [.. _entries];

    /// <summary>What nobody should see in a run without defects: errors of the server itself.</summary>
    public IEnumerable<string> Errors => _entries
        .Where(entry => entry.Level >= LogLevel.Error && entry.Category != OfficialCalls)
        .Select(entry => $"{entry.Category}: {entry.Text} {entry.Exception}");

    /// <summary>Waits until something with this text was logged.</summary>
    public async Task WaitForAsync(string text)
    {
        while (!_entries.Any(entry => entry.Text.Contains(text, StringComparison.Ordinal)))
        {
            await Task.Delay(10);
        }
    }

    public ILogger CreateLogger(string categoryName) => new Logger(_entries, categoryName);

    public void Dispose()
    {
    }

    internal sealed record Entry(string Category, LogLevel Level, string Text, Exception? Exception);

    private sealed class Logger(ConcurrentQueue<Entry> entries, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull
            => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
            => entries.Enqueue(new Entry(category, logLevel, formatter(state, exception), exception));
    }
}

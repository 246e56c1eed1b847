using System.Runtime.ExceptionServices;

namespace Distributed.Worker.Running;

/// <summary>The thread that drives a rank. It is not the main one, whose processors all threads get that the runtime starts: this one may be bound to a processor.</summary>
internal static class DrivingThread
{
    private const int StackByteCount = 8 << 20; // as the main thread's

    /// <summary>Runs the body on it and waits; throws what the body throws.</summary>
    public static void Run(Action body)
    {
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() => failure = Catch(body), StackByteCount) { Name = "rank" };
        thread.Start();
        thread.Join();
        failure?.Throw();
    }

    private static ExceptionDispatchInfo? Catch(Action body)
    {
        try
        {
            body();
            return null;
        }
        catch (Exception exception)
        {
            return ExceptionDispatchInfo.Capture(exception);
        }
    }
}

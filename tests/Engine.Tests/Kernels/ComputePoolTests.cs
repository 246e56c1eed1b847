using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

public sealed class ComputePoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public void For_ManyLoops_VisitsEveryItemOnce(int threadCount)
    {
        using var pool = new ComputePool(threadCount);
        var random = new Random(threadCount);
        for (var loop = 0; loop < 3000; loop++)
        {
            var visits = new int[random.Next(0, 200)];
            var grain = random.Next(1, 9);
            pool.For(visits.Length, grain, (start, end) =>
            {
                Assert.True(start % grain == 0 && start < end);
                for (var i = start; i < end; i++)
                {
                    Interlocked.Increment(ref visits[i]);
                }
            });
            Assert.All(visits, count => Assert.Equal(1, count));
        }
    }

    [Fact]
    public void For_LongBodies_UsesAllThreads()
    {
        using var pool = new ComputePool(3);
        using var together = new CountdownEvent(3);
        var threads = new HashSet<int>();

        pool.For(3, 1, (_, _) =>
        {
            lock (threads)
            {
                threads.Add(Environment.CurrentManagedThreadId);
            }

            together.Signal();
            Assert.True(together.Wait(TimeSpan.FromSeconds(30)), "The items did not run at the same time.");
        });

        Assert.Equal(3, threads.Count);
    }

    [Fact]
    public void For_ThreadsThatWentToSleep_AreWoken()
    {
        using var pool = new ComputePool(2);
        for (var loop = 0; loop < 20; loop++)
        {
            Thread.Sleep(5);
            using var together = new CountdownEvent(2);
            pool.For(2, 1, (_, _) =>
            {
                together.Signal();
                Assert.True(together.Wait(TimeSpan.FromSeconds(30)), "The other thread did not wake up.");
            });
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void For_BodyThrows_ThrowsOnCallerAndWorksOn(int threadCount)
    {
        using var pool = new ComputePool(threadCount);

        for (var loop = 0; loop < 50; loop++)
        {
            var exception = Assert.Throws<InvalidOperationException>(() => pool.For(100, 1, (start, end) =>
            {
                if (start <= 50 && 50 < end)
                {
                    throw new InvalidOperationException("item 50");
                }
            }));
            Assert.Equal("item 50", exception.Message);
        }

        var sum = 0;
        pool.For(100, 1, (start, end) => Interlocked.Add(ref sum, end - start));
        Assert.Equal(100, sum);
    }

    [Fact]
    public void For_CachedBody_AllocatesNothingOnAnyThread()
    {
        using var pool = new ComputePool(2);
        var sum = 0;
        RangeBody body = (start, end) => Interlocked.Add(ref sum, end - start);
        RunLoops();
        var before = AllocatedByThread();

        RunLoops();

        var after = AllocatedByThread();
        Assert.Equal(2, after.Count);

        // The measurement itself costs each thread some objects once.
        Assert.All(after, thread => Assert.InRange(thread.Value - before[thread.Key], 0, 2000));

        void RunLoops()
        {
            for (var loop = 0; loop < 1000; loop++)
            {
                pool.For(100, 1, body);
                if (loop % 100 == 0)
                {
                    Thread.Sleep(3); // long enough for the other thread to go to sleep
                }
            }
        }

        Dictionary<int, long> AllocatedByThread()
        {
            using var together = new CountdownEvent(2);
            var allocated = new Dictionary<int, long>();
            pool.For(2, 1, (_, _) =>
            {
                lock (allocated)
                {
                    allocated.Add(Environment.CurrentManagedThreadId, GC.GetAllocatedBytesForCurrentThread());
                }

                together.Signal();
                Assert.True(together.Wait(TimeSpan.FromSeconds(30)), "The other thread did not come.");
            });
            return allocated;
        }
    }

    [Fact]
    public void For_BoundThreads_StayOnTheirProcessor()
    {
        if (!OperatingSystem.IsLinux() || Environment.ProcessorCount < 2)
        {
            return;
        }

        using var pool = new ComputePool(2, firstProcessor: 0);
        var caller = Environment.CurrentManagedThreadId;
        var processors = new HashSet<int>();
        for (var loop = 0; loop < 50; loop++)
        {
            using var together = new CountdownEvent(2);
            pool.For(2, 1, (_, _) =>
            {
                together.Signal();
                Assert.True(together.Wait(TimeSpan.FromSeconds(30)), "The other thread did not come.");
                if (Environment.CurrentManagedThreadId != caller)
                {
                    lock (processors)
                    {
                        processors.Add(Thread.GetCurrentProcessorId());
                    }
                }
            });
            Thread.Sleep(1);
        }

        Assert.Single(processors);
    }

    [Fact]
    public void Dispose_IdleThreads_EndsThem()
    {
        var pool = new ComputePool(4, "ending");
        var ended = 0;
        pool.For(4, 1, (_, _) => Interlocked.Increment(ref ended));

        pool.Dispose();
        pool.Dispose();

        Assert.Throws<ObjectDisposedException>(() => pool.For(1, 1, (_, _) => { }));
        Assert.Equal(4, ended);
    }

    /// <summary>Four times as many threads as cores: a loop of many short ones still ends, in the time that the work takes.</summary>
    [Fact]
    public void For_ManyMoreThreadsThanCores_EndsEveryLoop()
    {
        using var pool = new ComputePool(4 * Environment.ProcessorCount);
        long sum = 0;
        for (var loop = 0; loop < 2000; loop++)
        {
            pool.For(64, 1, (start, end) => Interlocked.Add(ref sum, end - start));
        }

        Assert.Equal(2000 * 64, sum);
    }
}

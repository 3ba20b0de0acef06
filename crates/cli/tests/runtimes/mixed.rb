# Children with pipes, threads with queues and a mutex, a shell, sockets, files, signals, fibers.
require 'digest'
require 'open3'
require 'socket'
$stdout.sync = true

children = (1..4).map do |n|
  read, write = IO.pipe
  pid = fork do
    read.close
    10.times { |i| write.puts "#{n}:#{i}"; sleep 0.003 }
    exit! n
  end
  write.close
  [pid, read]
end
children.each do |pid, read|
  sum = read.each_line.sum { |line| line.split(':')[1].to_i }
  Process.wait pid
  puts "child: #{sum}, status #{$?.exitstatus}"
end

work, done = Queue.new, Queue.new
threads = 4.times.map { Thread.new { while (n = work.pop) != :end; done << n * n; end } }
10.times do |turn|
  10.times { |n| work << turn * 10 + n }
  puts "#{turn} #{10.times.sum { done.pop }}"
  sleep 0.005
end
4.times { work << :end }
threads.each(&:join)

out, status = Open3.capture2('tr a-z A-Z', stdin_data: 'by a child')
puts out, status.exitstatus

server = TCPServer.new('127.0.0.1', 0)
serving = Thread.new do
  3.times do
    connection = server.accept
    while (line = connection.gets)
      connection.puts "echo #{line}"
    end
    connection.close
  end
end
3.times do |i|
  socket = TCPSocket.new('127.0.0.1', server.addr[1])
  socket.puts "hello #{i}"
  puts socket.gets
  socket.close
end
serving.join

File.write('lines', (1..200).map { |i| "line #{i}\n" }.join)
puts File.readlines('lines').max, Digest::SHA256.file('lines').hexdigest
trap('USR1') { puts 'trapped' }
Process.kill('USR1', Process.pid)
sleep 0.01

# Threads that compute: the interpreter's own timer takes the processor from one for the other.
mutex, sum = Mutex.new, 0
3.times.map { Thread.new { 30_000.times { |i| mutex.synchronize { sum += i & 3 } } } }.each(&:join)
puts sum
GC.start
fiber = Fiber.new { 3.times { |i| Fiber.yield i }; nil }
while (x = fiber.resume)
  puts x
end
exit 6
